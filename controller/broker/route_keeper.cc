#include "broker/route_keeper.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "netlink/address.h"
#include "netlink/link.h"

namespace cipe::broker {
namespace {

// As often within kTruce what others take away is put back before they are given way.
constexpr int kRestores = 5;

bool IsReject(uint8_t type) {
  return type == RTN_UNREACHABLE || type == RTN_BLACKHOLE || type == RTN_PROHIBIT ||
         type == RTN_THROW;
}

PlannedRoute AsPlanned(const netlink::Route& route) {
  return {route.destination, route.table, route.metric, IsReject(route.type)};
}

// `foreign`: rules that are there, but not by us.
Lasting LastingOf(const RoutePlan& plan, const std::vector<netlink::Rule>& foreign) {
  Lasting lasting;
  for (const PlannedRoute& route : plan.routes) {
    if (route.reject) lasting.rejects.insert(route);
  }
  lasting.rules.insert(plan.rules.begin(), plan.rules.end());
  for (const netlink::Rule& rule : foreign) lasting.rules.erase(rule);
  return lasting;
}

template <typename T>
std::string Named(const char* what, const std::vector<T>& all) {
  if (all.empty()) return "";
  const std::string more = all.size() > 1 ? absl::StrCat(" and ", all.size() - 1, " more") : "";
  return absl::StrCat(what, " ", all.front().ToString(), more);
}

}  // namespace

RouteKeeper::RouteKeeper(netlink::Socket* socket, RouteBook* book, std::string tunnel,
                         std::string path, int ifindex, RoutePlan standing)
    : socket_(socket),
      book_(book),
      tunnel_(std::move(tunnel)),
      path_(std::move(path)),
      ifindex_(ifindex),
      wanted_(std::move(standing)) {
  book_->AddNetdev(ifindex_, tunnel_);
}

RouteKeeper::~RouteKeeper() {
  book_->RemoveNetdev(ifindex_);
  book_->LeaveTable(tunnel_);
  if (left_) return;
  const Lasting& mine = book_->Of(tunnel_);
  if (!mine.rejects.empty()) return;
  for (const netlink::Rule& rule : mine.rules) {
    if (const absl::Status status = book_->Remove(tunnel_, rule); !status.ok()) {
      Log(Severity::kError, "tunnel ", tunnel_, ": ", status.message());
      return;  // stays in the book
    }
  }
  book_->Write(tunnel_, {}).IgnoreError();  // the next start finds them gone, which is fine
}

void RouteKeeper::ForgetNetdev() {
  book_->RemoveNetdev(ifindex_);
  ifindex_ = 0;
}

std::string RouteKeeper::Missing::ToString() const {
  std::vector<std::string> all = {Named("address", addresses), Named("route", routes),
                                  Named("route", rejects), Named("rule", rules)};
  std::erase(all, "");
  return absl::StrJoin(all, ", ");
}

std::string RouteKeeper::NameOf(int ifindex) const {
  if (ifindex == 0) return "no interface";
  const std::string tunnel = book_->TunnelOf(ifindex);
  if (!tunnel.empty()) return absl::StrCat("tunnel ", tunnel);
  const auto link = netlink::GetLink(socket_, ifindex);
  return link.ok() ? link->name : absl::StrCat("interface ", ifindex);
}

// With the netdev down the kernel takes no routes to it: somebody's will. "" when it is up.
std::string RouteKeeper::WhyNotUp() const {
  const auto link = netlink::GetLink(socket_, ifindex_);
  if (!link.ok()) {
    return absl::StrCat("its interface is not in this network namespace any more: what it needs ",
                        "there is up to who moved it; `cipectl down ", tunnel_, "`, then ",
                        "`cipectl up ", tunnel_, "` makes it anew here");
  }
  if (link->up) return "";
  return absl::StrCat("its interface was switched off; `ip link set dev ", link->name,
                      " up` brings it and its routes back");
}

netlink::Route RouteKeeper::OnNetdev(const PlannedRoute& route) const {
  netlink::Route out;
  out.destination = route.destination;
  out.table = route.table;
  out.metric = route.metric;
  out.ifindex = ifindex_;
  return out;
}

// A route on our netdev that somebody else made there counts as well: it does what is wanted.
absl::StatusOr<RouteKeeper::Missing> RouteKeeper::FindMissing(const RoutePlan& wanted) const {
  Missing missing;
  std::set<IpPrefix> addresses;
  CIPE_ASSIGN_OR_RETURN(const auto on_netdev, netlink::ListAddresses(socket_, ifindex_));
  for (const netlink::InterfaceAddress& a : on_netdev) addresses.insert(a.prefix);
  for (const IpPrefix& address : wanted.addresses) {
    if (!addresses.contains(address)) missing.addresses.push_back(address);
  }
  for (const IpPrefix& was : wanted_.addresses) {
    const auto same = [&](const IpPrefix& address) { return address.address == was.address; };
    if (was.address.is_v6() && addresses.contains(was) &&
        std::any_of(missing.addresses.begin(), missing.addresses.end(), same)) {
      missing.other_length.push_back(was);
    }
  }
  std::set<PlannedRoute> routes;
  netlink::RouteFilter filter;
  filter.protocol = netlink::kRouteProtocol;
  CIPE_ASSIGN_OR_RETURN(const auto ours, netlink::ListRoutes(socket_, filter));
  for (const netlink::Route& r : ours) {
    if (r.ifindex == ifindex_ || r.type == RTN_UNREACHABLE) routes.insert(AsPlanned(r));
  }
  for (const PlannedRoute& route : wanted.routes) {
    const bool there = routes.contains(route) && (!route.reject || book_->Has(route));
    if (!there) (route.reject ? missing.rejects : missing.routes).push_back(route);
  }
  CIPE_RETURN_IF_ERROR(FindRules(wanted, &missing));
  return missing;
}

absl::Status RouteKeeper::FindRules(const RoutePlan& wanted, Missing* missing) const {
  if (wanted.rules.empty()) return absl::OkStatus();
  CIPE_ASSIGN_OR_RETURN(const auto rules, netlink::ListRules(socket_));
  const std::set<netlink::Rule> there(rules.begin(), rules.end());
  for (const netlink::Rule& rule : wanted.rules) {
    if (!there.contains(rule)) {
      missing->rules.push_back(rule);
    } else if (!book_->Has(rule)) {
      missing->foreign.push_back(rule);
    }
  }
  return absl::OkStatus();
}

absl::Status RouteKeeper::CheckAddresses(const std::vector<IpPrefix>& addresses) const {
  if (addresses.empty()) return absl::OkStatus();
  CIPE_ASSIGN_OR_RETURN(const auto all, netlink::ListAddresses(socket_));
  for (const netlink::InterfaceAddress& a : all) {
    if (!book_->TunnelOf(a.ifindex).empty()) continue;
    for (const IpPrefix& wanted : addresses) {
      if (a.prefix.address != wanted.address) continue;
      return absl::AlreadyExistsError(absl::StrCat(path_, ": address ", wanted.address.ToString(),
                                                   " is already on ", NameOf(a.ifindex),
                                                   "; give the tunnel another Address"));
    }
  }
  return absl::OkStatus();
}

absl::Status RouteKeeper::CheckForeign(const RoutePlan& wanted, const netlink::Route& theirs,
                                       const PlannedRoute& ours) const {
  const bool same_metric = theirs.metric == ours.metric;
  if (ours.reject || IsReject(theirs.type)) {
    if (!same_metric || book_->Has(ours)) return absl::OkStatus();
  } else if (wanted.metric_given && !same_metric) {
    return absl::OkStatus();
  }
  std::string text =
      absl::StrCat(path_, ": there is a route to ", ours.destination.ToString(), " already, ");
  absl::StrAppend(&text, IsReject(theirs.type) ? "a reject route" : "by way of ",
                  IsReject(theirs.type) ? "" : NameOf(theirs.ifindex));
  if (theirs.gateway) absl::StrAppend(&text, ", gateway ", theirs.gateway->ToString());
  absl::StrAppend(&text, " (table ", theirs.table, ", metric ", theirs.metric, ", protocol ",
                  theirs.protocol, "), and it is not touched; take the prefix out of AllowedIPs, ",
                  "remove that route, set another Metric, or Table = off or a number");
  return absl::AlreadyExistsError(text);
}

absl::Status RouteKeeper::CheckRoutes(const RoutePlan& wanted, const Missing& missing,
                                      bool tunnels) const {
  if (missing.routes.empty() && missing.rejects.empty()) return absl::OkStatus();
  std::map<std::pair<uint32_t, IpPrefix>, std::vector<const PlannedRoute*>> planned;
  for (const auto* list : {&missing.routes, &missing.rejects}) {
    for (const PlannedRoute& r : *list) planned[{r.table, r.destination}].push_back(&r);
  }
  CIPE_ASSIGN_OR_RETURN(const auto all, netlink::ListRoutes(socket_, {}));
  for (const netlink::Route& theirs : all) {
    if (!tunnels && !book_->TunnelOf(theirs.ifindex).empty()) continue;
    CIPE_RETURN_IF_ERROR(CheckOtherTunnels(theirs, missing));
    if (theirs.ifindex == ifindex_ && !IsReject(theirs.type)) continue;
    if (IsReject(theirs.type) && book_->Has(AsPlanned(theirs))) continue;
    const auto found = planned.find({theirs.table, theirs.destination});
    if (found == planned.end()) continue;
    for (const PlannedRoute* ours : found->second) {
      CIPE_RETURN_IF_ERROR(CheckForeign(wanted, theirs, *ours));
    }
  }
  return absl::OkStatus();
}

// Two tunnels with the same prefix in tables of their own: the second would never be asked.
absl::Status RouteKeeper::CheckOtherTunnels(const netlink::Route& theirs,
                                            const Missing& missing) const {
  const auto own = [](uint32_t table) {
    return table >= kFirstOwnTable && table < kFirstOwnTable + kOwnTables;
  };
  if (!own(theirs.table) || theirs.ifindex == ifindex_) return absl::OkStatus();
  const std::string other = book_->TunnelOf(theirs.ifindex);
  if (other.empty()) return absl::OkStatus();
  for (const PlannedRoute& ours : missing.routes) {
    if (!own(ours.table) || ours.destination != theirs.destination) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(path_, ": tunnel ", other, " takes ", ours.destination.ToString(),
                     " already; take one of them down, take the prefix out of AllowedIPs, or set "
                     "Table = off or a number"));
  }
  return absl::OkStatus();
}

// Reject routes first and rules last: nothing leaves in the clear in between, and nothing is led
// into a table that is still empty.
absl::Status RouteKeeper::AddEach(const Missing& missing, Missing* added) {
  for (const PlannedRoute& reject : missing.rejects) {
    const absl::Status status = netlink::AddRoute(socket_, RejectRoute(reject));
    // Another tunnel of ours has it: CheckRoutes has looked whose it is.
    if (!status.ok() && !absl::IsAlreadyExists(status)) return status;
    if (status.ok()) added->rejects.push_back(reject);
  }
  for (const IpPrefix& address : missing.other_length) {
    CIPE_RETURN_IF_ERROR(netlink::RemoveAddress(socket_, ifindex_, address));
    added->other_length.push_back(address);
  }
  for (const IpPrefix& address : missing.addresses) {
    CIPE_RETURN_IF_ERROR(netlink::AddAddress(socket_, ifindex_, address));
    added->addresses.push_back(address);
  }
  for (const PlannedRoute& route : missing.routes) {
    const absl::Status status = netlink::AddRoute(socket_, OnNetdev(route));
    // On our own netdev, by somebody else; others' were refused before.
    if (!status.ok() && !absl::IsAlreadyExists(status)) return status;
    if (status.ok()) added->routes.push_back(route);
  }
  for (const netlink::Rule& rule : missing.rules) {
    CIPE_RETURN_IF_ERROR(netlink::AddRule(socket_, rule));
    added->rules.push_back(rule);
  }
  return absl::OkStatus();
}

void RouteKeeper::Undo(const Missing& added) {
  for (const netlink::Rule& rule : added.rules) book_->Remove(tunnel_, rule).IgnoreError();
  for (const PlannedRoute& route : added.routes) {
    netlink::RemoveRoute(socket_, OnNetdev(route)).IgnoreError();
  }
  for (const IpPrefix& address : added.addresses) {
    netlink::RemoveAddress(socket_, ifindex_, address).IgnoreError();
  }
  for (const IpPrefix& address : added.other_length) {
    netlink::AddAddress(socket_, ifindex_, address).IgnoreError();
  }
  for (const PlannedRoute& reject : added.rejects) book_->Remove(tunnel_, reject).IgnoreError();
}

absl::Status RouteKeeper::AddAll(const Missing& missing) {
  Missing added;
  const absl::Status status = AddEach(missing, &added);
  if (status.ok()) return status;
  Undo(added);
  return absl::Status(status.code(), absl::StrCat(path_, ": ", status.message()));
}

absl::Status RouteKeeper::Check(const RoutePlan& wanted) const {
  CIPE_ASSIGN_OR_RETURN(const Missing missing, FindMissing(wanted));
  CIPE_RETURN_IF_ERROR(CheckAddresses(missing.addresses));
  return CheckRoutes(wanted, missing, /*tunnels=*/false);
}

absl::Status RouteKeeper::Apply(const RoutePlan& wanted) {
  CIPE_ASSIGN_OR_RETURN(const Missing missing, FindMissing(wanted));
  CIPE_RETURN_IF_ERROR(CheckAddresses(missing.addresses));
  CIPE_RETURN_IF_ERROR(CheckRoutes(wanted, missing, /*tunnels=*/true));
  // On the disk first, the old and the new: a crash at any moment leaves nothing unknown behind.
  const Lasting before = book_->Of(tunnel_);
  const Lasting after = LastingOf(wanted, missing.foreign);
  Lasting both = before;
  both.rejects.insert(after.rejects.begin(), after.rejects.end());
  both.rules.insert(after.rules.begin(), after.rules.end());
  CIPE_RETURN_IF_ERROR(book_->Write(tunnel_, std::move(both)));
  if (const absl::Status status = AddAll(missing); !status.ok()) {
    book_->Write(tunnel_, before).IgnoreError();  // then it names more than there is: harmless
    return status;
  }
  RemoveUnwanted(wanted, after);
  wanted_ = wanted;
  // With the first address of a network the kernel takes its others away (ip-sysctl,
  // promote_secondaries), and with an address the routes that name it.
  const auto collateral = FindMissing(wanted);
  if (collateral.ok() && !collateral->empty()) CIPE_RETURN_IF_ERROR(AddAll(*collateral));
  restored_ = 0;
  return book_->Write(tunnel_, after);
}

// What cannot be removed is logged: the new plan stands by now.
void RouteKeeper::RemoveUnwanted(const RoutePlan& wanted, const Lasting& after) {
  const Lasting before = book_->Of(tunnel_);
  const auto log = [&](const absl::Status& status) {
    if (!status.ok()) Log(Severity::kError, "tunnel ", tunnel_, ": ", status.message());
  };
  for (const netlink::Rule& rule : before.rules) {
    if (!after.rules.contains(rule)) log(book_->Remove(tunnel_, rule));
  }
  RemoveRoutes(wanted);
  for (const IpPrefix& address : wanted_.addresses) {
    if (std::binary_search(wanted.addresses.begin(), wanted.addresses.end(), address)) continue;
    const absl::Status status = netlink::RemoveAddress(socket_, ifindex_, address);
    if (!absl::IsNotFound(status)) log(status);
  }
  for (const PlannedRoute& reject : before.rejects) {
    if (!after.rejects.contains(reject)) log(book_->Remove(tunnel_, reject));
  }
}

void RouteKeeper::RemoveRoutes(const RoutePlan& wanted) {
  netlink::RouteFilter filter;
  filter.protocol = netlink::kRouteProtocol;
  filter.ifindex = ifindex_;
  const auto ours = netlink::ListRoutes(socket_, filter);
  if (!ours.ok()) {
    return Log(Severity::kError, "tunnel ", tunnel_, ": ", ours.status().message());
  }
  for (const netlink::Route& route : *ours) {
    if (std::binary_search(wanted.routes.begin(), wanted.routes.end(), AsPlanned(route))) continue;
    const absl::Status status = netlink::RemoveRoute(socket_, route);
    if (!status.ok() && !absl::IsNotFound(status)) {
      Log(Severity::kError, "tunnel ", tunnel_, ": ", status.message());
    }
  }
}

absl::StatusOr<std::string> RouteKeeper::Drift() const {
  CIPE_ASSIGN_OR_RETURN(const Missing missing, FindMissing(wanted_));
  return missing.empty() ? "" : missing.ToString();
}

bool RouteKeeper::InTheWay(const netlink::Route& theirs) const {
  if (theirs.protocol == netlink::kRouteProtocol || theirs.ifindex == ifindex_) return false;
  PlannedRoute route = AsPlanned(theirs);
  route.reject = false;
  return std::binary_search(wanted_.routes.begin(), wanted_.routes.end(), route);
}

bool RouteKeeper::IsInTheWay(const Missing& missing) {
  RoutePlan beside;
  beside.metric_given = true;  // with another metric it may be there
  const absl::Status status = CheckRoutes(beside, missing, /*tunnels=*/true);
  const std::string text(status.message());
  if (std::exchange(in_the_way_, text) != text && !status.ok()) {
    Log(Severity::kWarning, "tunnel ", tunnel_,
        ": packets for it go elsewhere, somebody put a route in the place of its own: ", text);
  }
  return !status.ok();
}

RouteKeeper::Look RouteKeeper::Restore(Instant now) {
  if (ifindex_ == 0) return Look::kSame;
  if (const std::string why = WhyNotUp(); !why.empty()) {
    if (!std::exchange(told_down_, true)) {
      Log(Severity::kWarning, "tunnel ", tunnel_, ": ", why);
    }
    return Look::kSame;
  }
  const bool was_down = std::exchange(told_down_, false);
  const auto missing = FindMissing(wanted_);
  if (!missing.ok()) return Look::kSame;
  if (IsInTheWay(*missing)) {
    AddAll(*missing).IgnoreError();  // the rest of it
    return Look::kLater;
  }
  if (missing->empty()) return Look::kSame;
  if (!since_.has_value() || now - *since_ >= kTruce) {
    since_ = now;
    restored_ = 0;
  }
  if (restored_ > kRestores) return Look::kLater;
  if (++restored_ > kRestores) {
    Log(Severity::kWarning, "tunnel ", tunnel_, ": ", missing->ToString(),
        " is removed by somebody again and again; given way for a minute");
    return Look::kLater;
  }
  absl::Status status = book_->Write(tunnel_, LastingOf(wanted_, missing->foreign));
  if (status.ok()) status = AddAll(*missing);
  if (!status.ok()) {
    Log(Severity::kError, "tunnel ", tunnel_, ": ", missing->ToString(),
        " is gone and cannot be put back: ", status.message());
    return Look::kLater;
  }
  if (restored_ == 1) {
    Log(Severity::kNotice, "tunnel ", tunnel_, ": ", missing->ToString(),
        was_down ? " is back" : " was removed by somebody else and is put back");
  }
  return Look::kRestored;
}

}  // namespace cipe::broker
