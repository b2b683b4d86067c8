// Addresses, routes and rules of a tunnel, and the marks that keep its own packets out of it.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/endpoint_check.h"
#include "broker/route_plan.h"
#include "broker/tunnel.h"
#include "netlink/route.h"

namespace cipe::broker {
namespace {

// 0, 1 (strict), 2 (loose); 0 when it cannot be read.
int ReversePathFilter(const std::string& name) {
  std::ifstream file(absl::StrCat("/proc/sys/net/ipv4/conf/", name, "/rp_filter"));
  int value = 0;
  file >> value;
  return value;
}

absl::Status Mark(const UniqueFd& socket, uint32_t mark) {
  if (!socket.valid()) return absl::OkStatus();
  if (setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0) {
    return absl::OkStatus();
  }
  return netlink::ErrorStatus(errno, absl::StrCat("mark ", mark, " on the UDP socket"));
}

}  // namespace

// Zeros where none is needed.
absl::StatusOr<OwnTable> Tunnel::TableFor(const config::Tunnel& config) {
  if (!NeedsOwnTable(config, around_)) return OwnTable();
  absl::StatusOr<OwnTable> own = book_->TakeTable(config.name, config.fwmark);
  if (own.ok()) return own;
  return absl::Status(own.status().code(), absl::StrCat(config.path, ": ", own.status().message()));
}

absl::Status Tunnel::TakeTable() {
  CIPE_ASSIGN_OR_RETURN(own_table_, TableFor(config_));
  return absl::OkStatus();
}

absl::Status Tunnel::MarkSockets(uint32_t mark) const {
  CIPE_RETURN_IF_ERROR(Mark(udp_.v4, mark));
  return Mark(udp_.v6, mark);
}

absl::Status Tunnel::CheckRoutes(const config::Tunnel& changed) {
  const absl::StatusOr<OwnTable> own = TableFor(changed);
  book_->KeepTable(config_.name, own_table_);
  // Other tunnels of ours are in the way, and may change with the same reload.
  if (absl::IsFailedPrecondition(own.status())) return absl::OkStatus();
  CIPE_RETURN_IF_ERROR(own.status());
  CIPE_ASSIGN_OR_RETURN(const RoutePlan plan, PlanRoutes(changed, around_, *own));
  return routes_->Check(plan);
}

absl::Status Tunnel::ApplyRoutes(const config::Tunnel& changed) {
  const OwnTable before = own_table_;
  CIPE_ASSIGN_OR_RETURN(const OwnTable own, TableFor(changed));
  const uint32_t mark = own.mark != 0 ? own.mark : changed.fwmark;
  const auto plan = PlanRoutes(changed, around_, own);
  absl::Status status = plan.status();
  // The mark first: with the new rules unmarked packets would go round in a circle.
  if (status.ok()) status = MarkSockets(mark);
  if (status.ok()) status = routes_->Apply(*plan);
  if (!status.ok()) MarkSockets(fwmark()).IgnoreError();
  own_table_ = status.ok() ? own : before;
  book_->KeepTable(config_.name, own_table_);
  return status;
}

absl::Status Tunnel::AddRoutes() {
  CIPE_ASSIGN_OR_RETURN(const RoutePlan plan, PlanRoutes(config_, around_, own_table_));
  routes_ = std::make_unique<RouteKeeper>(socket_, book_, config_.name, config_.path, ifindex_);
  CIPE_RETURN_IF_ERROR(routes_->Apply(plan));
  WarnOfStrictFilter();
  return absl::OkStatus();
}

// The strict filter asks for the way back without our mark, finds it in our own table, and drops
// what the peer answers; XDP and AF_XDP go past it, handshakes do not.
void Tunnel::WarnOfStrictFilter() const {
  const auto& rules = routes_->wanted().rules;
  const bool v4 = std::any_of(rules.begin(), rules.end(),
                              [](const netlink::Rule& r) { return r.family == Family::kIpv4; });
  if (!v4) return;
  for (const std::string& name : datapath_.names) {
    if (std::max(ReversePathFilter("all"), ReversePathFilter(name)) != 1) continue;
    Log(Severity::kWarning, "tunnel ", config_.name, ": the kernel drops what comes in by ", name,
        " from the peer, since net.ipv4.conf rp_filter is strict (1) and the default route leads "
        "into the tunnel; `sysctl net.ipv4.conf.",
        name, ".rp_filter=2`");
  }
}

void Tunnel::ForgetNetdev() {
  ifindex_ = 0;
  if (routes_ != nullptr) routes_->ForgetNetdev();
}

absl::Status Tunnel::AdmitEndpoint(const config::Peer& peer, const Endpoint& endpoint) {
  if (routes_ != nullptr && NeedsOwnTable(config_, {endpoint.address})) {
    CIPE_RETURN_IF_ERROR(RouteAround(endpoint.address));
  }
  return CheckEndpoint(socket_, config_, Way(), peer, endpoint);
}

// The prefix that has the endpoint moves to a table that our own packets do not look at.
absl::Status Tunnel::RouteAround(const IpAddress& endpoint) {
  if (std::find(around_.begin(), around_.end(), endpoint) != around_.end()) return absl::OkStatus();
  ForgetUnusedEndpoints(&around_, peers);
  around_.push_back(endpoint);
  absl::Status status = TakeTable();
  const absl::StatusOr<RoutePlan> plan = PlanRoutes(config_, around_, own_table_);
  status.Update(plan.status());
  if (status.ok()) status = MarkSockets(fwmark());
  // Most endpoints change nothing: all prefixes around them have been moved before.
  if (status.ok() && !(*plan == routes_->wanted())) status = routes_->Apply(*plan);
  if (!status.ok()) around_.pop_back();
  return status;
}

}  // namespace cipe::broker
