#include "broker/lasting_routes.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "config/config.h"

namespace cipe::broker {
namespace {

using Words = std::vector<std::string>;

std::optional<PlannedRoute> ParseReject(const Words& w) {
  PlannedRoute route;
  route.reject = true;
  if (w.size() != 5 || !absl::SimpleAtoi(w[3], &route.table) ||
      !absl::SimpleAtoi(w[4], &route.metric)) {
    return std::nullopt;
  }
  const auto prefix = IpPrefix::Parse(w[2]);
  if (!prefix.ok()) return std::nullopt;
  route.destination = *prefix;
  return route;
}

std::optional<netlink::Rule> ParseRule(const Words& w) {
  netlink::Rule rule;
  if (w.size() != 9 || (w[2] != "4" && w[2] != "6") || (w[7] != "not" && w[7] != "is") ||
      !absl::SimpleAtoi(w[3], &rule.priority) || !absl::SimpleAtoi(w[4], &rule.table) ||
      !absl::SimpleAtoi(w[5], &rule.mark) || !absl::SimpleAtoi(w[6], &rule.mask) ||
      !absl::SimpleAtoi(w[8], &rule.suppress_prefix_length)) {
    return std::nullopt;
  }
  rule.family = w[2] == "4" ? Family::kIpv4 : Family::kIpv6;
  rule.inverted = w[7] == "not";
  return rule;
}

}  // namespace

std::vector<std::string> FormatLasting(const LastingRoutes& all) {
  std::vector<std::string> lines;
  for (const auto& [tunnel, lasting] : all) {
    for (const PlannedRoute& r : lasting.rejects) {
      lines.push_back(absl::StrCat("reject ", tunnel, " ", r.destination.ToString(), " ", r.table,
                                   " ", r.metric));
    }
    for (const netlink::Rule& r : lasting.rules) {
      lines.push_back(absl::StrCat("rule ", tunnel, " ", r.family == Family::kIpv4 ? 4 : 6, " ",
                                   r.priority, " ", r.table, " ", r.mark, " ", r.mask, " ",
                                   r.inverted ? "not" : "is", " ", r.suppress_prefix_length));
    }
  }
  return lines;
}

std::optional<LastingRoutes> ParseLasting(const std::vector<std::string>& lines) {
  LastingRoutes all;
  for (const std::string& line : lines) {
    const Words words = absl::StrSplit(line, ' ');
    if (words.size() < 2 || !config::CheckTunnelName(words[1]).ok()) return std::nullopt;
    if (words[0] == "reject") {
      const auto route = ParseReject(words);
      if (!route) return std::nullopt;
      all[words[1]].rejects.insert(*route);
    } else if (words[0] == "rule") {
      const auto rule = ParseRule(words);
      if (!rule) return std::nullopt;
      all[words[1]].rules.insert(*rule);
    } else {
      return std::nullopt;
    }
  }
  return all;
}

}  // namespace cipe::broker
