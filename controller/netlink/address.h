// Addresses of interfaces (rtnetlink(7), RTM_*ADDR).
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "netlink/socket.h"

namespace cipe::netlink {

struct InterfaceAddress {
  int ifindex = 0;
  IpPrefix prefix;                // our own address with its prefix length; host bits kept
  std::optional<IpAddress> peer;  // other end of a point-to-point address
  uint8_t scope = 0;              // RT_SCOPE_*
  uint32_t flags = 0;             // IFA_F_*
};

// AlreadyExists when this interface has it. An address of another interface is no error to the
// kernel: ask FindAddress first. IPv6 addresses are usable at once (no duplicate address detection:
// on a tunnel there is nobody to ask).
absl::Status AddAddress(Socket* socket, int ifindex, const IpPrefix& prefix);
// An IPv4 address `local` of which the other end is `peer`: the kernel makes the route to `peer`
// with it, of this metric (0: the kernel's default).
absl::Status AddPointToPoint(Socket* socket, int ifindex, const IpAddress& local,
                             const IpAddress& peer, uint32_t metric);
absl::Status RemovePointToPoint(Socket* socket, int ifindex, const IpAddress& local,
                                const IpAddress& peer);
absl::Status RemoveAddress(Socket* socket, int ifindex, const IpPrefix& prefix);

// Of one interface, or of all with ifindex 0. IPv6 addresses whose duplicate address detection
// failed are listed with their flag.
absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(Socket* socket, int ifindex = 0);

// The interface that has `address`, or nullopt. Link-local addresses may be on several: the first
// one other than `except_ifindex`.
absl::StatusOr<std::optional<int>> FindAddress(Socket* socket, const IpAddress& address,
                                               int except_ifindex = 0);

// nullopt when it is not a well-formed RTM_NEWADDR or RTM_DELADDR of IPv4 or IPv6.
std::optional<InterfaceAddress> ParseAddress(const nlmsghdr& message);

}  // namespace cipe::netlink
