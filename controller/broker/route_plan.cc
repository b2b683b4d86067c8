#include "broker/route_plan.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/resolver.h"

namespace cipe::broker {
namespace {

std::vector<IpAddress> AllEndpoints(const config::Tunnel& config,
                                    absl::Span<const IpAddress> more) {
  std::vector<IpAddress> all(more.begin(), more.end());
  for (const config::Peer& peer : config.peers) {
    for (const config::EndpointSpec& spec : peer.endpoints) {
      const auto endpoint = ParseNumericEndpoint(spec);
      if (endpoint.ok()) all.push_back(endpoint->address);
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// Asked for every prefix of 10 000 peers with as many endpoints: one search, not a loop, since the
// endpoints are sorted and a prefix is a range of addresses.
bool Swallows(const IpPrefix& prefix, const std::vector<IpAddress>& endpoints) {
  if (prefix.length == 0) return true;
  const auto first = std::lower_bound(endpoints.begin(), endpoints.end(), prefix.Masked().address);
  return first != endpoints.end() && prefix.Contains(*first);
}

std::set<IpPrefix> AllowedPrefixes(const config::Tunnel& config) {
  std::set<IpPrefix> all;
  for (const config::Peer& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) all.insert(prefix.Masked());
  }
  return all;
}

bool HasRoutes(const config::Tunnel& config) {
  return !config.classic.has_value() && config.table != config::TableChoice::kOff;
}

uint32_t MetricOf(const config::Tunnel& config, const IpPrefix& prefix) {
  if (config.metric != 0) return config.metric;
  return prefix.address.is_v6() ? kIpv6Metric : 0;
}

// For prefixes of `length` bits in the own table: "main, where it knows `length` bits or more;
// then, for everything but our own packets, our table". So the longest prefix wins, as in one
// table, whatever tunnel it is of. `shorter`: the table has shorter prefixes, whose turn comes
// later.
void AddRules(OwnTable own, Family family, int length, bool shorter,
              std::vector<netlink::Rule>* rules) {
  netlink::Rule main;
  main.family = family;
  main.priority = kFirstOwnTable + 2 * static_cast<uint32_t>(128 - length);
  main.table = RT_TABLE_MAIN;
  main.suppress_prefix_length = length - 1;
  netlink::Rule ours;
  ours.family = family;
  ours.priority = main.priority + 1;
  ours.table = own.table;
  ours.mark = own.mark;
  ours.mask = UINT32_MAX;
  ours.inverted = true;
  if (shorter) ours.suppress_prefix_length = length - 1;
  rules->push_back(main);
  rules->push_back(ours);
}

// The default route counts as one of a bit: what only a default route of main knows, it may take.
std::vector<netlink::Rule> RulesFor(OwnTable own, const std::map<Family, std::set<int>>& lengths) {
  std::vector<netlink::Rule> rules;
  for (const auto& [family, all] : lengths) {
    for (const int length : all) AddRules(own, family, length, length != *all.begin(), &rules);
  }
  return rules;
}

class Planner {
 public:
  Planner(const config::Tunnel& config, absl::Span<const IpAddress> endpoints, OwnTable own)
      : config_(config), endpoints_(AllEndpoints(config, endpoints)), own_(own) {}

  RoutePlan Run() {
    RoutePlan plan;
    plan.metric_given = config_.metric != 0;
    plan.addresses = config_.addresses;
    std::sort(plan.addresses.begin(), plan.addresses.end());
    const std::set<IpPrefix> allowed = AllowedPrefixes(config_);
    for (const IpPrefix& prefix : allowed) {
      if (!KernelMakes(prefix)) Add(prefix, MetricOf(config_, prefix), false);
      if (config_.reject_when_down) Add(prefix, kRejectMetric, true);
    }
    for (const IpPrefix& address : config_.addresses) {
      if (!config_.reject_when_down || address.length == address.address.bits()) continue;
      Add(address.Masked(), kRejectMetric, true);
    }
    plan.routes.assign(routes_.begin(), routes_.end());
    plan.rules = RulesFor(own_, lengths_);
    std::sort(plan.rules.begin(), plan.rules.end());
    return plan;
  }

 private:
  // With the address itself, and not in another table.
  bool KernelMakes(const IpPrefix& prefix) const {
    if (config_.table != config::TableChoice::kAuto) return false;
    return std::any_of(config_.addresses.begin(), config_.addresses.end(),
                       [&](const IpPrefix& address) { return address.Masked() == prefix; });
  }

  void Add(const IpPrefix& prefix, uint32_t metric, bool reject) {
    PlannedRoute route{prefix, RT_TABLE_MAIN, metric, reject};
    if (config_.table == config::TableChoice::kNumber) {
      route.table = config_.table_number;
    } else if (Swallows(prefix, endpoints_)) {
      route.table = own_.table;
      lengths_[prefix.address.family].insert(std::max(1, prefix.length));
    }
    routes_.insert(route);
  }

  const config::Tunnel& config_;
  const std::vector<IpAddress> endpoints_;
  const OwnTable own_;
  std::set<PlannedRoute> routes_;
  std::map<Family, std::set<int>> lengths_;  // of the prefixes in the own table
};

template <typename T, typename Line>
void Compare(const std::vector<T>& from, const std::vector<T>& to, const Line& line,
             std::vector<std::string>* lines) {
  for (const T& one : to) {
    if (!std::binary_search(from.begin(), from.end(), one)) lines->push_back("+ " + line(one));
  }
  for (const T& one : from) {
    if (!std::binary_search(to.begin(), to.end(), one)) lines->push_back("- " + line(one));
  }
}

}  // namespace

std::string PlannedRoute::ToString() const {
  std::string text = absl::StrCat(reject ? "unreachable " : "", destination.ToString());
  if (table != RT_TABLE_MAIN) absl::StrAppend(&text, " table ", table);
  const bool usual = metric == (destination.address.is_v6() ? kIpv6Metric : 0);
  if (!usual) absl::StrAppend(&text, " metric ", metric);
  return text;
}

bool NeedsOwnTable(const config::Tunnel& config, absl::Span<const IpAddress> endpoints) {
  if (!HasRoutes(config) || config.table != config::TableChoice::kAuto) return false;
  const std::vector<IpAddress> all = AllEndpoints(config, endpoints);
  for (const config::Peer& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (Swallows(prefix, all)) return true;
    }
  }
  return false;
}

absl::StatusOr<RoutePlan> PlanRoutes(const config::Tunnel& config,
                                     absl::Span<const IpAddress> endpoints, OwnTable own) {
  if (config.classic.has_value()) return RoutePlan();
  if (config.reject_when_down && config.metric == kRejectMetric) {
    return absl::FailedPreconditionError(
        absl::StrCat(config.path, ": Metric = ", config.metric,
                     " is that of the reject routes of RejectWhenDown = yes; set a smaller one"));
  }
  if (HasRoutes(config)) return Planner(config, endpoints, own).Run();
  if (config.reject_when_down) {
    return absl::FailedPreconditionError(
        absl::StrCat(config.path,
                     ": RejectWhenDown = yes needs to know where routes go, and Table "
                     "= off says that they are none of ours; set Table = auto or a "
                     "number, or RejectWhenDown = no"));
  }
  RoutePlan plan;
  plan.addresses = config.addresses;
  std::sort(plan.addresses.begin(), plan.addresses.end());
  return plan;
}

void ForgetUnusedEndpoints(std::vector<IpAddress>* endpoints,
                           const std::vector<ipc::PeerSetup>& peers) {
  if (endpoints->size() < peers.size() + kMostUnusedEndpoints) return;
  absl::flat_hash_set<IpAddress> used;
  for (const ipc::PeerSetup& peer : peers) used.insert(peer.endpoint.address);
  // The newest ones are about to be used, maybe.
  const auto old = endpoints->end() - kMostUnusedEndpoints / 2;
  endpoints->erase(std::remove_if(endpoints->begin(), old,
                                  [&](const IpAddress& a) { return !used.contains(a); }),
                   old);
}

std::vector<std::string> DescribeDifference(const RoutePlan& from, const RoutePlan& to) {
  std::vector<std::string> lines;
  Compare(
      from.addresses, to.addresses,
      [](const IpPrefix& p) { return absl::StrCat("address ", p.ToString()); }, &lines);
  Compare(
      from.routes, to.routes,
      [](const PlannedRoute& r) { return absl::StrCat("route ", r.ToString()); }, &lines);
  Compare(
      from.rules, to.rules,
      [](const netlink::Rule& r) { return absl::StrCat("rule ", r.ToString()); }, &lines);
  return lines;
}

}  // namespace cipe::broker
