// Routes (rtnetlink(7), RTM_*ROUTE): those of our own, known by their protocol number, and lookups
// in the kernel's tables.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "netlink/socket.h"

namespace cipe::netlink {

// "cipe" in rtnetlink's protocol field: what carries it was made by us and may be removed by us.
inline constexpr uint8_t kRouteProtocol = 205;

struct Route {
  IpPrefix destination;  // length 0: default route
  int ifindex = 0;       // 0 for reject routes
  std::optional<IpAddress> gateway;
  std::optional<IpAddress> preferred_source;
  uint32_t table = RT_TABLE_MAIN;
  uint32_t metric = 0;  // 0: the kernel's default (IPv6 makes it 1024)
  uint8_t protocol = kRouteProtocol;
  uint8_t type = RTN_UNICAST;  // RTN_UNREACHABLE, RTN_BLACKHOLE, ... have no ifindex
  uint32_t mtu = 0;            // octets, 0 = not set
  bool cached = false;         // a learned exception, not a configured route
  bool mtu_learned = false;    // of a lookup's answer: `mtu` is from ICMP and expires

  std::string ToString() const;
};

// AlreadyExists when a route to the same destination, table and metric is there: also somebody
// else's, which stays untouched.
absl::Status AddRoute(Socket* socket, const Route& route);
// NotFound when no such route is there. Matches destination, table, type, protocol, and metric and
// ifindex where not 0.
absl::Status RemoveRoute(Socket* socket, const Route& route);

struct RouteFilter {
  Family family = Family::kNone;  // kNone: both
  uint8_t protocol = 0;           // 0: any
  int ifindex = 0;                // 0: any
  uint32_t table = 0;             // 0: any
};
// Without learned exceptions. Of a multipath route the first hop is shown.
absl::StatusOr<std::vector<Route>> ListRoutes(Socket* socket, const RouteFilter& filter);

struct RouteLookup {
  int ifindex = 0;
  std::optional<IpAddress> gateway;           // nullopt: on link
  std::optional<IpAddress> preferred_source;  // as the kernel would choose it
  uint32_t mtu = 0;          // path MTU the kernel knows for this destination, 0 = the interface's
  bool local = false;        // the destination is one of our own addresses
  bool mtu_learned = false;  // ICMP said so, not a route's configuration
};
// What the kernel would do with a packet to `destination` that carries `mark` (0: none) and, where
// `oif` is not 0, must leave there, from `source` where it is set. Unavailable when there is no
// route or only a reject route.
absl::StatusOr<RouteLookup> LookupRoute(Socket* socket, const IpAddress& destination,
                                        uint32_t mark = 0, int oif = 0,
                                        const IpAddress& source = {});

// The default route with the lowest metric in the main table; NotFound when there is none.
absl::StatusOr<Route> DefaultRoute(Socket* socket, Family family);

// nullopt when it is not a well-formed RTM_NEWROUTE or RTM_DELROUTE of IPv4 or IPv6.
std::optional<Route> ParseRoute(const nlmsghdr& message);

}  // namespace cipe::netlink
