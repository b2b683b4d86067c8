// Which addresses, routes, reject routes and rules the configuration of a tunnel means: decisions
// without I/O. RouteKeeper brings the kernel there.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ip_address.h"
#include "config/model.h"
#include "ipc/messages.h"
#include "netlink/rule.h"

namespace cipe::broker {

// Tables, marks and priorities of rules that are picked by us start here and are this many; rules
// of administrators with smaller numbers come before ours.
inline constexpr uint32_t kFirstOwnTable = 20500;
inline constexpr uint32_t kOwnTables = 500;
// Of reject routes: the greatest there is, so that they count only when nothing better is there.
inline constexpr uint32_t kRejectMetric = UINT32_MAX;
// What the kernel makes of metric 0 for IPv6 (IP6_RT_PRIO_USER).
inline constexpr uint32_t kIpv6Metric = 1024;

// Where the prefixes go that would swallow the tunnel's own packets, and the mark by which these
// are told from the others. Zeros: not needed.
struct OwnTable {
  uint32_t table = 0;
  uint32_t mark = 0;
  friend auto operator<=>(const OwnTable&, const OwnTable&) = default;
};

struct PlannedRoute {
  IpPrefix destination;  // masked
  uint32_t table = 0;
  uint32_t metric = 0;
  bool reject = false;  // "unreachable"; else out of the tunnel's netdev

  std::string ToString() const;  // "10.0.1.0/24", "unreachable 10.0.1.0/24 table 7 metric 9"
  friend auto operator<=>(const PlannedRoute&, const PlannedRoute&) = default;
};

// All lists sorted, without doubles.
struct RoutePlan {
  std::vector<IpPrefix> addresses;
  std::vector<PlannedRoute> routes;
  std::vector<netlink::Rule> rules;
  bool metric_given = false;  // a route of somebody else with another metric is meant to be there
  friend bool operator==(const RoutePlan&, const RoutePlan&) = default;
};

// Does a prefix of AllowedIPs take the default route, or one of the `endpoints` (others than those
// configured as numbers, which are known)? Only with Table = auto: with a number, rules are the
// administrator's.
bool NeedsOwnTable(const config::Tunnel& config, absl::Span<const IpAddress> endpoints);

// `own` is used where NeedsOwnTable. FailedPrecondition for RejectWhenDown with Table = off.
// Tunnels of protocol 3 have neither routes nor addresses here: theirs come with the point-to-point
// address.
absl::StatusOr<RoutePlan> PlanRoutes(const config::Tunnel& config,
                                     absl::Span<const IpAddress> endpoints, OwnTable own);

// `endpoints` are those that names resolved to, in the order they were seen. When they are many
// more than peers, only the newest and those in use stay: a name may have others with every answer,
// for ever.
inline constexpr size_t kMostUnusedEndpoints = 1024;
void ForgetUnusedEndpoints(std::vector<IpAddress>* endpoints,
                           const std::vector<ipc::PeerSetup>& peers);

// What it takes to get from one plan to the other, a line each: "+ route 10.0.1.0/24",
// "- address 10.9.0.1/32", "+ rule ...". Empty when nothing has to be done.
std::vector<std::string> DescribeDifference(const RoutePlan& from, const RoutePlan& to);

}  // namespace cipe::broker
