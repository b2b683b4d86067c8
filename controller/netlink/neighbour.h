// The neighbour tables: ARP and NDP (rtnetlink(7), RTM_*NEIGH). Read only.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "netlink/link.h"
#include "netlink/socket.h"

namespace cipe::netlink {

struct Neighbour {
  int ifindex = 0;
  IpAddress address;
  std::optional<MacAddress> mac;  // nullopt while it is not resolved
  uint16_t state = 0;             // NUD_*
  // NUD_REACHABLE, STALE, DELAY, PROBE, PERMANENT, NOARP: its MAC may be used.
  bool usable() const;
};

// nullopt when the table has no entry for it.
absl::StatusOr<std::optional<Neighbour>> FindNeighbour(Socket* socket, int ifindex,
                                                       const IpAddress& address);
// Of one interface, or of all with ifindex 0.
absl::StatusOr<std::vector<Neighbour>> ListNeighbours(Socket* socket, int ifindex = 0);

// nullopt when it is not a well-formed RTM_NEWNEIGH or RTM_DELNEIGH of IPv4 or IPv6 (bridge entries
// come with other families).
std::optional<Neighbour> ParseNeighbour(const nlmsghdr& message);

}  // namespace cipe::netlink
