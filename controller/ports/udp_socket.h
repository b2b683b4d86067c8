// Opens the UDP sockets of a listener, with everything udp_port.h relies on already set: the
// privileged half (SO_MARK, forced buffer sizes).
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"

namespace cipe::ports {

// IP_MTU_DISCOVER and IPV6_MTU_DISCOVER (ip(7), ipv6(7)).
enum class PathMtu : uint8_t {
  kFragment,  // never DF: whatever does not fit is fragmented on the way
  kWant,      // DF where it fits the known path MTU, else fragmented here
  kDo,        // always DF; what exceeds the known path MTU gives EMSGSIZE
  kProbe,     // always DF, the known path MTU is ignored: for path probing
};

struct UdpSocketOptions {
  uint16_t port = 0;    // 0: any free one, the same for both families
  IpAddress address;    // unset: wildcard of both families; else only its family, bound to it
  uint32_t fwmark = 0;  // 0: none
  PathMtu path_mtu = PathMtu::kWant;
  int ttl = 0;                 // IPv4; 0: the system's
  bool checksums = true;       // IPv4; false: UDP checksum 0
  int buffer_bytes = 8 << 20;  // send and receive, each; what the kernel allows is taken
};

struct UdpSockets {
  UniqueFd v4;  // either may be invalid, not both
  UniqueFd v6;  // IPV6_V6ONLY; invalid when the kernel has no IPv6
  uint16_t port = 0;
  bool gro = false;  // the kernel merges received datagrams (UDP_GRO, Linux 5.0)
};

// Errors name the port and who holds it when that can be seen: AlreadyExists ("UDP port 6789 is in
// use ..."), PermissionDenied (fwmark, port below 1024), Unavailable.
absl::StatusOr<UdpSockets> OpenUdpSockets(const UdpSocketOptions& options);

// Asks the routes of this host by connecting sockets, which sends nothing and needs no privilege.
// Who may make no sockets gets these from who may. One that is missing answers nothing.
struct RouteProbe {
  static RouteProbe Open();
  // False for what the routes say cannot be the other end of a tunnel: a broadcast address of a
  // network of this host, or its own address with `own_port`.
  bool MayBeOtherHost(const Endpoint& endpoint, uint16_t own_port) const;

  UniqueFd v4, v6;
};

}  // namespace cipe::ports
