#include "broker/endpoint_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/library_resolver.h"
#include "config/endpoint_address.h"
#include "netlink/route.h"

namespace cipe::broker {
absl::Status CheckEndpoint(netlink::Socket* socket, const config::Tunnel& config,
                           const OuterWay& way, const config::Peer& peer,
                           const Endpoint& endpoint) {
  const auto refused = [&](absl::string_view why) {
    return absl::FailedPreconditionError(absl::StrCat(
        config.path, ": endpoint ", endpoint.ToString(), " of peer ", peer.name, " ", why));
  };
  if (const std::string why = config::WhyNoHost(endpoint.address); !why.empty()) {
    return refused(why);
  }
  if (endpoint.address.is_v6() && endpoint.address.is_link_local() && endpoint.scope_id == 0) {
    return refused("is a link-local address without its interface, which a name cannot give");
  }
  const auto route =
      netlink::LookupRoute(socket, endpoint.address, way.mark, static_cast<int>(endpoint.scope_id));
  if (!route.ok()) return absl::OkStatus();  // no way now is no mistake
  if (way.tunnel_ifindex != 0 && route->ifindex == way.tunnel_ifindex) {
    return refused(
        "would be sent to by way of the tunnel itself, in a circle: a route or the network of an "
        "Address leads there; take it away, or give it a rule that leaves packets with this "
        "tunnel's FwMark out");
  }
  if (endpoint.port == way.listen_port && route->local) {
    return refused(
        "is this tunnel itself: an address of this host and its own ListenPort; give the peer's "
        "address");
  }
  return absl::OkStatus();
}

absl::Status CheckEndpoints(netlink::Socket* socket, const config::Tunnel& config,
                            const OuterWay& way) {
  for (const config::Peer& peer : config.peers) {
    for (const config::EndpointSpec& spec : peer.endpoints) {
      const auto endpoint = ParseNumericEndpoint(spec);
      if (!endpoint.ok()) continue;
      CIPE_RETURN_IF_ERROR(CheckEndpoint(socket, config, way, peer, *endpoint));
    }
  }
  return absl::OkStatus();
}

}  // namespace cipe::broker
