// Network devices: what they are, and the few things we change about them (rtnetlink(7),
// RTM_*LINK).
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netlink/socket.h"

namespace cipe::netlink {

using MacAddress = std::array<uint8_t, 6>;

struct Link {
  int index = 0;
  std::string name;
  bool up = false;        // IFF_UP: switched on
  bool lower_up = false;  // IFF_LOWER_UP: has a carrier
  bool loopback = false;
  uint16_t type = 0;              // ARPHRD_*
  uint32_t mtu = 0;               // octets
  std::optional<MacAddress> mac;  // Ethernet only
  std::string kind;               // "veth", "vlan", "bond", "bridge", "tun", ...; empty: physical
  std::string master_kind;        // kind of `master`'s driver: "bond", "bridge"; empty without one
  int master = 0;                 // ifindex of the bond or bridge it is a port of, 0 = none
  int parent = 0;                 // IFLA_LINK: VLAN's or macvlan's lower device, veth's peer
  bool parent_elsewhere = false;  // `parent` counts in another network namespace
  std::optional<uint16_t> vlan_id;  // kind "vlan" only
  uint16_t vlan_protocol = 0;       // 0x8100 or 0x88a8, host order; kind "vlan" only
  uint32_t rx_queues = 0;
  uint32_t tx_queues = 0;
  uint32_t gso_max_size = 0;    // octets, 0 = the kernel does not say
  uint32_t xdp_program_id = 0;  // 0 = none attached
};

// NotFound names the device.
absl::StatusOr<Link> GetLink(Socket* socket, absl::string_view name);
absl::StatusOr<Link> GetLink(Socket* socket, int index);
absl::StatusOr<std::vector<Link>> ListLinks(Socket* socket);

absl::Status SetLinkUp(Socket* socket, int index, bool up);
absl::Status SetLinkMtu(Socket* socket, int index, uint32_t mtu);
// Unimplemented when the kernel does not report a size for this device, so has none to set.
absl::Status SetLinkGsoMaxSize(Socket* socket, int index, uint32_t octets);
// No link-local address made by the kernel (addrgenmode none, ip-link(8)); before the device is up.
// Nothing to do, and OK, where the kernel has no IPv6.
absl::Status SetLinkNoAutoAddress(Socket* socket, int index);
absl::Status DeleteLink(Socket* socket, int index);

// nullopt when it is not a well-formed RTM_NEWLINK or RTM_DELLINK of a device.
std::optional<Link> ParseLink(const nlmsghdr& message);

}  // namespace cipe::netlink
