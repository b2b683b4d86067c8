// May the packets of a tunnel go to this endpoint? Asked of every endpoint before it is used,
// whether it stands in the configuration as a number or a name was resolved to it.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "base/ip_address.h"
#include "config/model.h"
#include "netlink/socket.h"

namespace cipe::broker {

// FailedPrecondition, naming file, peer and the way out, for an address that is no host's, one
// inside the prefixes that are routed into the tunnel itself (Table = auto; the packets would go
// round in a circle and the host lose its route to the peer), and `listen_port` on one of this
// host's own addresses, which is this tunnel itself.
absl::Status CheckEndpoint(netlink::Socket* socket, const config::Tunnel& config,
                           uint16_t listen_port, const config::Peer& peer,
                           const Endpoint& endpoint);

// The same for every endpoint that is known by now, in time that grows with the number of peers and
// not with its square; names are checked when they are resolved.
absl::Status CheckEndpoints(netlink::Socket* socket, const config::Tunnel& config,
                            uint16_t listen_port);

}  // namespace cipe::broker
