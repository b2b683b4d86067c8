#include "broker/endpoint_check.h"

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/resolver.h"
#include "config/endpoint_address.h"
#include "netlink/route.h"
#include "peers/allowed_ips.h"

namespace cipe::broker {
namespace {

// Says which prefix would take an endpoint's packets into the tunnel, as text; empty when none
// does.
using Swallower = absl::FunctionRef<std::string(const IpAddress&)>;

std::string PrefixOf(const config::Peer& peer, const IpAddress& address) {
  for (const IpPrefix& prefix : peer.allowed_ips) {
    if (prefix.Contains(address)) {
      return absl::StrCat("AllowedIPs ", prefix.ToString(), " of peer ", peer.name);
    }
  }
  return "";
}

absl::Status Check(netlink::Socket* socket, const config::Tunnel& config, uint16_t listen_port,
                   const config::Peer& peer, const Endpoint& endpoint, Swallower swallowed_by) {
  const auto refused = [&](absl::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat(
        config.path, ": endpoint ", endpoint.ToString(), " of peer ", peer.name, " ", why));
  };
  if (const std::string why = config::WhyNoHost(endpoint.address); !why.empty()) {
    return refused(why);
  }
  if (config.table == config::TableChoice::kAuto) {
    const std::string prefix = swallowed_by(endpoint.address);
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

}  // namespace

absl::Status CheckEndpoint(netlink::Socket* socket, const config::Tunnel& config,
                           uint16_t listen_port, const config::Peer& peer,
                           const Endpoint& endpoint) {
  return Check(socket, config, listen_port, peer, endpoint, [&](const IpAddress& address) {
    for (const config::Peer& other : config.peers) {
      std::string prefix = PrefixOf(other, address);
      if (!prefix.empty()) return prefix;
    }
    return std::string();
  });
}

absl::Status CheckEndpoints(netlink::Socket* socket, const config::Tunnel& config,
                            uint16_t listen_port) {
  AllowedIps all;
  for (uint32_t i = 0; i < config.peers.size(); ++i) {
    for (const IpPrefix& prefix : config.peers[i].allowed_ips) {
      CIPE_RETURN_IF_ERROR(all.Insert(prefix, i));
    }
  }
  const auto swallowed_by = [&](const IpAddress& address) {
    const uint32_t owner = all.Lookup(address);
    return owner == AllowedIps::kNoPeer ? "" : PrefixOf(config.peers[owner], address);
  };
  for (const config::Peer& peer : config.peers) {
    for (const config::EndpointSpec& spec : peer.endpoints) {
      const auto endpoint = ParseNumericEndpoint(spec);
      if (!endpoint.ok()) continue;
      CIPE_RETURN_IF_ERROR(Check(socket, config, listen_port, peer, *endpoint, swallowed_by));
    }
  }
  return absl::OkStatus();
}

}  // namespace cipe::broker
