#include "netlink/monitor.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

namespace cipe::netlink {
namespace {

constexpr int kDatagramsPerDrain = 256;
constexpr size_t kReceiveBuffer = 64 * 1024;
constexpr int kSocketBuffer = 1 << 20;
// linux/rtnetlink.h has a mask for IPv4 rules only.
constexpr uint32_t kIpv6Rules = 1u << (RTNLGRP_IPV6_RULE - 1);

using Handler = std::function<void(const Event&)>;

void Report(const nlmsghdr& m, const Handler& handler) {
  const uint16_t type = m.nlmsg_type;
  if (type == NLMSG_OVERRUN) {
    handler(Resync{});
  } else if (auto link = ParseLink(m)) {
    handler(LinkEvent{type == RTM_DELLINK, *std::move(link)});
  } else if (auto address = ParseAddress(m)) {
    handler(AddressEvent{type == RTM_DELADDR, *address});
  } else if (auto route = ParseRoute(m)) {
    if (!route->cached) handler(RouteEvent{type == RTM_DELROUTE, *route});
  } else if (auto rule = ParseRule(m)) {
    handler(RuleEvent{type == RTM_DELRULE, *rule});
  } else if (auto neighbour = ParseNeighbour(m)) {
    handler(NeighbourEvent{type == RTM_DELNEIGH, *neighbour});
  }
}

}  // namespace

absl::StatusOr<Monitor> Monitor::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.valid()) return ErrorStatus(errno, "open rtnetlink monitor");
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  self.nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                   RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_RULE | kIpv6Rules;
  // A full routing table can change at once; a smaller buffer only means an earlier resync.
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kSocketBuffer, sizeof kSocketBuffer);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self) != 0) {
    return ErrorStatus(errno, "subscribe to rtnetlink changes");
  }
  return Monitor(std::move(fd));
}

absl::Status Monitor::Drain(const Handler& handler) {
  // uint64_t: nlmsghdr has to be aligned.
  std::vector<uint64_t> buffer(kReceiveBuffer / sizeof(uint64_t));
  for (int i = 0; i < kDatagramsPerDrain; ++i) {
    sockaddr_nl from{};
    socklen_t from_size = sizeof from;
    const ssize_t n = recvfrom(fd_.get(), buffer.data(), kReceiveBuffer, MSG_TRUNC,
                               reinterpret_cast<sockaddr*>(&from), &from_size);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return absl::OkStatus();
    if (n < 0 && errno == EINTR) continue;
    const bool lost = n < 0 ? errno == ENOBUFS : static_cast<size_t>(n) > kReceiveBuffer;
    if (lost) {
      handler(Resync{});
      continue;
    }
    if (n < 0) return ErrorStatus(errno, "read rtnetlink changes");
    if (from.nl_pid != 0) continue;  // only the kernel has port 0
    int left = static_cast<int>(n);
    const auto* h = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) Report(*h, handler);
  }
  return absl::OkStatus();
}

}  // namespace cipe::netlink
