// May the packets of a tunnel go to this endpoint? Asked of every endpoint before it is used,
// whether it stands in the configuration as a number or a name was resolved to it.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/ip_address.h"
#include "config/model.h"
#include "netlink/socket.h"

namespace cipe::broker {

// How a tunnel's outer packets leave this host.
struct OuterWay {
  uint16_t listen_port = 0;
  uint32_t mark = 0;
  int tunnel_ifindex = 0;  // 0: there is no netdev yet
};

// FailedPrecondition, naming file, peer and the way out, for an address that is no host's, one to
// which the kernel would send by way of the tunnel itself (the packets would go round in a circle),
// and `listen_port` on one of this host's own addresses, which is this tunnel itself.
absl::Status CheckEndpoint(netlink::Socket* socket, const config::Tunnel& config,
                           const OuterWay& way, const config::Peer& peer, const Endpoint& endpoint);

// The same for every endpoint that is known by now; names are checked when they are resolved.
absl::Status CheckEndpoints(netlink::Socket* socket, const config::Tunnel& config,
                            const OuterWay& way);

}  // namespace cipe::broker
