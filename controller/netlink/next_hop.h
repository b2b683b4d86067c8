// Where an outer packet to a destination goes first: route, source address and MAC in one answer.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "netlink/link.h"
#include "netlink/socket.h"

namespace cipe::netlink {

struct NextHop {
  int ifindex = 0;
  IpAddress source;               // the kernel's choice for this destination; unset if it has none
  IpAddress next_hop;             // the gateway, or the destination itself when on link
  std::optional<MacAddress> mac;  // of next_hop, when resolved; nullopt on devices without MACs
  uint32_t mtu = 0;               // octets: path MTU as known now, else the interface's MTU
  bool local = false;             // the destination is this host
};

// The scope of `destination`, as in Endpoint::scope_id, is the interface to leave by when not 0.
// Unavailable when there is no route.
absl::StatusOr<NextHop> ResolveNextHop(Socket* socket, const IpAddress& destination,
                                       uint32_t mark = 0, uint32_t scope_id = 0);

}  // namespace cipe::netlink
