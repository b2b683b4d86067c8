#include "broker/route_book.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace cipe::broker {
namespace {

absl::Status GoneIsFine(absl::Status status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

// Table and mark of rules that PlanRoutes made; zeros when there are none.
OwnTable TableOf(const Lasting& lasting) {
  for (const netlink::Rule& rule : lasting.rules) {
    if (rule.inverted) return {rule.table, rule.mark};
  }
  return {};
}

bool Matches(const netlink::Rule& rule, uint32_t mark) {
  return rule.mask != 0 && (mark & rule.mask) == (rule.mark & rule.mask);
}

}  // namespace

netlink::Route RejectRoute(const PlannedRoute& reject) {
  netlink::Route route;
  route.destination = reject.destination;
  route.table = reject.table;
  route.metric = reject.metric;
  route.type = RTN_UNREACHABLE;
  return route;
}

void RouteBook::PutBackRejects() {
  const auto log = [](const std::string& tunnel, const absl::Status& status) {
    if (status.ok() || absl::IsAlreadyExists(status)) return;
    Log(Severity::kError, "tunnel ", tunnel, ": RejectWhenDown: ", status.message());
  };
  const auto there = netlink::ListRules(socket_);
  for (const auto& [tunnel, lasting] : lasting_) {
    if (lasting.rejects.empty()) continue;  // rules alone would lead nowhere
    for (const PlannedRoute& reject : lasting.rejects) {
      log(tunnel, netlink::AddRoute(socket_, RejectRoute(reject)));
    }
    for (const netlink::Rule& rule : lasting.rules) {
      // The kernel would take the same rule twice.
      if (there.ok() && std::find(there->begin(), there->end(), rule) == there->end()) {
        log(tunnel, netlink::AddRule(socket_, rule));
      }
    }
  }
}

void RouteBook::ForgetUnwanted(const std::vector<std::string>& wanted) {
  std::vector<std::string> gone;
  for (const auto& [tunnel, lasting] : lasting_) {
    if (std::find(wanted.begin(), wanted.end(), tunnel) == wanted.end()) gone.push_back(tunnel);
  }
  for (const std::string& tunnel : gone) {
    Log(Severity::kNotice, "routes and rules of tunnel ", tunnel,
        ", which is not wanted any more, are removed");
    Forget(tunnel);
  }
}

void RouteBook::Forget(const std::string& tunnel) {
  tables_.erase(tunnel);
  const auto found = lasting_.find(tunnel);
  if (found == lasting_.end()) return;
  Lasting left;
  for (const netlink::Rule& rule : found->second.rules) {
    if (const absl::Status status = Remove(tunnel, rule); !status.ok()) {
      Log(Severity::kError, "tunnel ", tunnel, ": ", status.message());
      left.rules.insert(rule);
    }
  }
  for (const PlannedRoute& reject : found->second.rejects) {
    if (const absl::Status status = Remove(tunnel, reject); !status.ok()) {
      Log(Severity::kError, "tunnel ", tunnel, ": ", status.message());
      left.rejects.insert(reject);
    }
  }
  if (const absl::Status status = Write(tunnel, std::move(left)); !status.ok()) {
    Log(Severity::kError, "tunnel ", tunnel, ": ", status.message());
  }
}

absl::StatusOr<OwnTable> RouteBook::TakeTable(const std::string& tunnel, uint32_t fwmark) {
  CIPE_ASSIGN_OR_RETURN(const std::vector<netlink::Rule> rules, netlink::ListRules(socket_));
  OwnTable own = tables_.contains(tunnel) ? tables_[tunnel] : TableOf(Of(tunnel));
  for (const auto& [other, theirs] : tables_) {
    if (other == tunnel) continue;
    if (fwmark != 0 && fwmark != theirs.mark) {
      return absl::FailedPreconditionError(absl::StrCat(
          "tunnels ", tunnel, " and ", other, " would both take packets by default, each the ",
          "other's too, since their marks differ; give both FwMark = ", theirs.mark,
          ", or Table = a number and rules of your own"));
    }
    own.mark = theirs.mark;
  }
  if (fwmark != 0) own.mark = fwmark;
  if (own.mark == 0) {
    CIPE_ASSIGN_OR_RETURN(own.mark, FreeMark(rules));
  }
  if (own.table == 0) {
    CIPE_ASSIGN_OR_RETURN(own.table, FreeTable(rules));
  }
  return tables_[tunnel] = own;
}

void RouteBook::KeepTable(const std::string& tunnel, OwnTable own) {
  if (own.table == 0) return LeaveTable(tunnel);
  tables_[tunnel] = own;
}

absl::StatusOr<uint32_t> RouteBook::FreeTable(const std::vector<netlink::Rule>& rules) const {
  std::set<uint32_t> used;
  CIPE_ASSIGN_OR_RETURN(const auto routes, netlink::ListRoutes(socket_, {}));
  for (const netlink::Route& route : routes) used.insert(route.table);
  for (const netlink::Rule& rule : rules) used.insert(rule.table);
  for (const auto& [other, theirs] : tables_) used.insert(theirs.table);
  for (const auto& [other, lasting] : lasting_) used.insert(TableOf(lasting).table);
  for (uint32_t table = kFirstOwnTable; table < kFirstOwnTable + kOwnTables; ++table) {
    if (!used.contains(table)) return table;
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "no routing table from ", kFirstOwnTable, " to ", kFirstOwnTable + kOwnTables - 1,
      " is free for the default route; set Table = a number and rules of your own"));
}

// The mark of whoever else takes packets by default (another ciped, wg-quick), so that neither
// takes the other's; else one that no rule looks at.
absl::StatusOr<uint32_t> RouteBook::FreeMark(const std::vector<netlink::Rule>& rules) const {
  for (const netlink::Rule& rule : rules) {
    if (rule.inverted && rule.mask == UINT32_MAX && rule.mark != 0) return rule.mark;
  }
  for (uint32_t mark = kFirstOwnTable; mark < kFirstOwnTable + kOwnTables; ++mark) {
    const bool used = std::any_of(rules.begin(), rules.end(),
                                  [&](const netlink::Rule& rule) { return Matches(rule, mark); });
    if (!used) return mark;
  }
  return absl::ResourceExhaustedError(
      "rules of others look at every mark that could be picked; set FwMark");
}

const Lasting& RouteBook::Of(const std::string& tunnel) const {
  static const Lasting kNothing;
  const auto found = lasting_.find(tunnel);
  return found == lasting_.end() ? kNothing : found->second;
}

absl::Status RouteBook::Write(const std::string& tunnel, Lasting lasting) {
  if (Of(tunnel) == lasting) return absl::OkStatus();
  LastingRoutes next = lasting_;
  if (lasting.empty()) {
    next.erase(tunnel);
  } else {
    next[tunnel] = std::move(lasting);
  }
  CIPE_RETURN_IF_ERROR(save_(next));
  lasting_ = std::move(next);
  return absl::OkStatus();
}

bool RouteBook::Has(const PlannedRoute& reject) const {
  return std::any_of(lasting_.begin(), lasting_.end(),
                     [&](const auto& entry) { return entry.second.rejects.contains(reject); });
}

absl::Status RouteBook::Remove(const std::string& tunnel, const PlannedRoute& reject) {
  for (const auto& [other, lasting] : lasting_) {
    if (other != tunnel && lasting.rejects.contains(reject)) return absl::OkStatus();
  }
  return GoneIsFine(netlink::RemoveRoute(socket_, RejectRoute(reject)));
}

bool RouteBook::Has(const netlink::Rule& rule) const {
  return std::any_of(lasting_.begin(), lasting_.end(),
                     [&](const auto& entry) { return entry.second.rules.contains(rule); });
}

absl::Status RouteBook::Remove(const std::string& tunnel, const netlink::Rule& rule) {
  for (const auto& [other, lasting] : lasting_) {
    if (other != tunnel && lasting.rules.contains(rule)) return absl::OkStatus();
  }
  return GoneIsFine(netlink::RemoveRule(socket_, rule));
}

std::string RouteBook::TunnelOf(int ifindex) const {
  const auto found = netdevs_.find(ifindex);
  return found == netdevs_.end() ? "" : found->second;
}

}  // namespace cipe::broker
