// What outlives netdevs and processes in the kernel: reject routes and rules, by the name of the
// tunnel they were made for, as text for the state directory.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/route_plan.h"
#include "netlink/rule.h"

namespace cipe::broker {

struct Lasting {
  std::set<PlannedRoute> rejects;
  std::set<netlink::Rule> rules;
  bool empty() const { return rejects.empty() && rules.empty(); }
  friend bool operator==(const Lasting&, const Lasting&) = default;
};

using LastingRoutes = std::map<std::string, Lasting>;

// One line each: "reject TUNNEL PREFIX TABLE METRIC",
// "rule TUNNEL 4|6 PRIORITY TABLE MARK MASK not|is SUPPRESS".
std::vector<std::string> FormatLasting(const LastingRoutes& all);
// nullopt when a line is neither.
std::optional<LastingRoutes> ParseLasting(const std::vector<std::string>& lines);

}  // namespace cipe::broker
