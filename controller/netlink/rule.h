// Policy routing rules (ip-rule(8); rtnetlink RTM_*RULE): which table answers for which packets.
#pragma once

#include <linux/netlink.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ip_address.h"
#include "netlink/route.h"
#include "netlink/socket.h"

namespace cipe::netlink {

// One "lookup TABLE" rule. Selectors other than the mark (addresses, interfaces, ports) are not
// described, only noticed.
struct Rule {
  Family family = Family::kNone;
  uint32_t priority = 0;            // the kernel asks rules with smaller numbers first
  uint32_t table = 0;               // 0: another action than looking a table up
  uint32_t mark = 0;                // with `mask` 0: any
  uint32_t mask = 0;                // of the mark that counts
  bool inverted = false;            // "not": for packets that do not match
  int suppress_prefix_length = -1;  // answers of this many bits or fewer do not count; -1: all do
  uint8_t protocol = kRouteProtocol;
  bool other_selectors = false;

  std::string ToString() const;  // as `ip rule` takes it
  friend auto operator<=>(const Rule&, const Rule&) = default;
};

// AlreadyExists when the very same rule is there.
absl::Status AddRule(Socket* socket, const Rule& rule);
// NotFound when there is none like it; of several the kernel takes the first. Matches all fields.
absl::Status RemoveRule(Socket* socket, const Rule& rule);
// Of both families, in no particular order.
absl::StatusOr<std::vector<Rule>> ListRules(Socket* socket);

// nullopt when it is not a well-formed RTM_NEWRULE or RTM_DELRULE of IPv4 or IPv6.
std::optional<Rule> ParseRule(const nlmsghdr& message);

}  // namespace cipe::netlink
