#include "ports/udp_socket.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::ports {
namespace {

// A free port of IPv4 may be taken in IPv6: so many are tried.
constexpr int kPortAttempts = 32;

int PathMtuValue(PathMtu choice) {
  switch (choice) {
    case PathMtu::kFragment:
      return IP_PMTUDISC_DONT;
    case PathMtu::kWant:
      return IP_PMTUDISC_WANT;
    case PathMtu::kDo:
      return IP_PMTUDISC_DO;
    case PathMtu::kProbe:
      return IP_PMTUDISC_PROBE;
  }
  return IP_PMTUDISC_WANT;
}
static_assert(IP_PMTUDISC_DONT == IPV6_PMTUDISC_DONT && IP_PMTUDISC_WANT == IPV6_PMTUDISC_WANT &&
              IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE);

bool Set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

absl::Status OptionError(const char* what) {
  const int error = errno;
  const std::string text = absl::StrCat("UDP socket: cannot set ", what, ": ", strerror(error));
  if (error == EPERM) {
    return absl::PermissionDeniedError(absl::StrCat(text, "; this needs CAP_NET_ADMIN"));
  }
  return absl::UnavailableError(text);
}

// *FORCE passes net.core.rmem_max and wmem_max by, with CAP_NET_ADMIN; the other way takes what it
// gets.
void SetBuffers(int fd, int octets) {
  if (!Set(fd, SOL_SOCKET, SO_RCVBUFFORCE, octets)) Set(fd, SOL_SOCKET, SO_RCVBUF, octets);
  if (!Set(fd, SOL_SOCKET, SO_SNDBUFFORCE, octets)) Set(fd, SOL_SOCKET, SO_SNDBUF, octets);
}

absl::Status SetFamilyOptions(int fd, bool v6, PathMtu choice) {
  const int mtu = PathMtuValue(choice);
  if (v6) {
    if (!Set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) return OptionError("IPV6_V6ONLY");
    if (!Set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)) return OptionError("IPV6_RECVPKTINFO");
    if (!Set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1)) return OptionError("IPV6_RECVTCLASS");
    if (!Set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)) return OptionError("IPV6_RECVERR");
    if (!Set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, mtu)) return OptionError("IPV6_MTU_DISCOVER");
    return absl::OkStatus();
  }
  if (!Set(fd, IPPROTO_IP, IP_PKTINFO, 1)) return OptionError("IP_PKTINFO");
  if (!Set(fd, IPPROTO_IP, IP_RECVTOS, 1)) return OptionError("IP_RECVTOS");
  if (!Set(fd, IPPROTO_IP, IP_RECVERR, 1)) return OptionError("IP_RECVERR");
  if (!Set(fd, IPPROTO_IP, IP_MTU_DISCOVER, mtu)) return OptionError("IP_MTU_DISCOVER");
  return absl::OkStatus();
}

absl::Status BindError(const Endpoint& endpoint, int error) {
  const std::string where = endpoint.address.is_unspecified()
                                ? absl::StrCat(endpoint.address.is_v6() ? "IPv6" : "IPv4")
                                : endpoint.address.ToString();
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat("UDP port ", endpoint.port, " is in use (", where,
                       "); see who holds it with \"ss -ulpn sport = :", endpoint.port,
                       "\", or choose another ListenPort"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat("UDP port ", endpoint.port, " (", where, "): ", strerror(error),
                       "; ports below 1024 need CAP_NET_BIND_SERVICE"));
    case EADDRNOTAVAIL:
      return absl::UnavailableError(
          absl::StrCat("UDP port ", endpoint.port, ": ", where, " is no address of this host"));
    default:
      return absl::UnavailableError(
          absl::StrCat("UDP port ", endpoint.port, " (", where, "): ", strerror(error)));
  }
}

uint16_t BoundPort(int fd) {
  sockaddr_storage sa{};
  socklen_t size = sizeof sa;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&sa), &size) != 0) return 0;
  return Endpoint::FromSockaddr(sa).port;
}

IpAddress Wildcard(Family family) {
  IpAddress address;
  address.family = family;
  return address;
}

// Sets `*gro` to whether this kernel merges for us. An invalid descriptor: it has no such family.
absl::StatusOr<UniqueFd> OpenOne(const UdpSocketOptions& options, const IpAddress& address,
                                 uint16_t port, bool* gro) {
  const bool v6 = address.is_v6();
  UniqueFd fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    if (errno == EAFNOSUPPORT) return UniqueFd();
    return absl::UnavailableError(absl::StrCat("cannot open a UDP socket: ", strerror(errno)));
  }
  CIPE_RETURN_IF_ERROR(SetFamilyOptions(fd.get(), v6, options.path_mtu));
  if (!v6 && options.ttl > 0 && !Set(fd.get(), IPPROTO_IP, IP_TTL, options.ttl)) {
    return OptionError("IP_TTL");
  }
  if (!v6 && !options.checksums && !Set(fd.get(), SOL_SOCKET, SO_NO_CHECK, 1)) {
    return OptionError("SO_NO_CHECK");
  }
  *gro = Set(fd.get(), IPPROTO_UDP, UDP_GRO, 1);
  const int mark = static_cast<int>(options.fwmark);
  if (mark != 0 && !Set(fd.get(), SOL_SOCKET, SO_MARK, mark)) return OptionError("FwMark");
  SetBuffers(fd.get(), options.buffer_bytes);
  Endpoint endpoint{address, port, 0};
  sockaddr_storage sa{};
  const socklen_t size = endpoint.ToSockaddr(&sa);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&sa), size) == 0) return fd;
  // net.ipv6.conf.*.disable_ipv6 leaves the family without even a wildcard address.
  if (errno == EADDRNOTAVAIL && v6 && address.is_unspecified()) return UniqueFd();
  return BindError(endpoint, errno);
}

absl::StatusOr<UdpSockets> OpenBound(const UdpSocketOptions& options) {
  UdpSockets sockets;
  CIPE_ASSIGN_OR_RETURN(UniqueFd fd, OpenOne(options, options.address, options.port, &sockets.gro));
  if (!fd.valid()) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.address.ToString(),
                                               ": the kernel has no such address family"));
  }
  sockets.port = BoundPort(fd.get());
  (options.address.is_v6() ? sockets.v6 : sockets.v4) = std::move(fd);
  return sockets;
}

absl::StatusOr<UdpSockets> OpenBoth(const UdpSocketOptions& options) {
  UdpSockets sockets;
  CIPE_ASSIGN_OR_RETURN(sockets.v4,
                        OpenOne(options, Wildcard(Family::kIpv4), options.port, &sockets.gro));
  sockets.port = sockets.v4.valid() ? BoundPort(sockets.v4.get()) : options.port;
  CIPE_ASSIGN_OR_RETURN(sockets.v6,
                        OpenOne(options, Wildcard(Family::kIpv6), sockets.port, &sockets.gro));
  if (!sockets.v4.valid() && !sockets.v6.valid()) {
    return absl::UnavailableError("the kernel has neither IPv4 nor IPv6");
  }
  if (!sockets.v4.valid()) sockets.port = BoundPort(sockets.v6.get());
  return sockets;
}

}  // namespace

absl::StatusOr<UdpSockets> OpenUdpSockets(const UdpSocketOptions& options) {
  if (options.address.is_set()) return OpenBound(options);
  absl::StatusOr<UdpSockets> sockets = OpenBoth(options);
  for (int i = 1; i < kPortAttempts && options.port == 0; ++i) {
    if (!absl::IsAlreadyExists(sockets.status())) break;
    sockets = OpenBoth(options);
  }
  return sockets;
}

RouteProbe RouteProbe::Open() {
  constexpr int kType = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return {UniqueFd(socket(AF_INET, kType, 0)), UniqueFd(socket(AF_INET6, kType, 0))};
}

// connect(2) of a UDP socket asks the routes and no more: EACCES for broadcast (udp(7)).
bool RouteProbe::MayBeOtherHost(const Endpoint& endpoint, uint16_t own_port) const {
  const int fd = endpoint.address.is_v4() ? v4.get() : v6.get();
  if (fd < 0) return true;
  // Apart from the endpoint before, whose source address would stay.
  const sockaddr apart{AF_UNSPEC, {}};
  connect(fd, &apart, sizeof apart);
  sockaddr_storage address{};
  socklen_t size = endpoint.ToSockaddr(&address);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) return errno != EACCES;
  if (endpoint.port != own_port) return true;
  // To an own address the kernel sends from that same address.
  address = {};
  size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return true;
  return !(Endpoint::FromSockaddr(address).address == endpoint.address);
}

}  // namespace cipe::ports
