#include "broker/endpoint_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "config/endpoint_address.h"
#include "netlink/route.h"

namespace cipe::broker {
namespace {

// The prefix that would take the endpoint's packets into the tunnel, as text; empty when none does.
std::string SwallowedBy(const config::Tunnel& config, const IpAddress& address) {
  for (const config::Peer& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (prefix.Contains(address)) {
        return absl::StrCat("AllowedIPs ", prefix.ToString(), " of peer ", peer.name);
      }
    }
  }
  return "";
}

}  // namespace

absl::Status CheckEndpoint(netlink::Socket* socket, const config::Tunnel& config,
                           uint16_t listen_port, const config::Peer& peer,
                           const Endpoint& endpoint) {
  const auto refused = [&](absl::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat(
        config.path, ": endpoint ", endpoint.ToString(), " of peer ", peer.name, " ", why));
  };
  if (const std::string why = config::WhyNoHost(endpoint.address); !why.empty()) {
    return refused(why);
  }
  if (config.table == config::TableChoice::kAuto) {
    const std::string prefix = SwallowedBy(config, endpoint.address);
    if (!prefix.empty()) {
      return refused(absl::StrCat(
          "lies in ", prefix,
          ", so the tunnel's own packets would be routed into it; take it out "
          "of AllowedIPs, or set Table = off (or Table = a number) and add routes and rules "
          "yourself"));
    }
  }
  if (endpoint.port == listen_port) {
    const auto route = netlink::LookupRoute(socket, endpoint.address, config.fwmark,
                                            static_cast<int>(endpoint.scope_id));
    if (route.ok() && route->local) {
      return refused(
          "is this tunnel itself: an address of this host and its own ListenPort; give "
          "the peer's address");
    }
  }
  return absl::OkStatus();
}

}  // namespace cipe::broker
