// What a change of the network, or of a peer's endpoint, means for tunnels that are up.
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/broker.h"
#include "broker/path_mtu.h"
#include "netlink/route.h"

namespace cipe::broker {
namespace {

// Bursts of netlink events (a link going up brings dozens) are looked at once.
constexpr auto kSettle = std::chrono::milliseconds(100);

}  // namespace

void Broker::OnNetworkChange() {
  const absl::Status status = monitor_.Drain([this](const netlink::Event& event) {
    if (const auto* link = std::get_if<netlink::LinkEvent>(&event); link && !link->removed) {
      carriers_->OnLink(link->link);
    } else if (link) {
      carriers_->OnLinkRemoved(link->link.index);
      OnLinkGone(link->link.index);
    } else if (std::holds_alternative<netlink::Resync>(event)) {
      carriers_->Resync(&socket_);
    }
    NoteRoutes(event);
    paths_changed_ |= !std::holds_alternative<netlink::NeighbourEvent>(event);
  });
  if (!status.ok()) {
    Log(Severity::kError, "netlink monitor: ", status.message());
    loop_.Unwatch(monitor_.fd());
  }
  if (paths_changed_) endpoints_->NetworkChanged();
  SettleSoon();
}

void Broker::SettleSoon() {
  if (settle_timer_ != TimerId::kNone) return;
  settle_timer_ = loop_.After(kSettle, [this] {
    settle_timer_ = TimerId::kNone;
    if (std::exchange(routes_changed_, false)) RestoreRoutes();
    if (std::exchange(paths_changed_, false)) {
      RevisitDatapaths();
      Tell(ipc::PathsChanged{});
    }
    SyncListeners();
    next_hops_->Refresh();
  });
}

bool Broker::RevisitDatapath(Tunnel& tunnel) {
  const Tunnel::Look look = tunnel.Revisit(loop_.Now());
  if (look == Tunnel::Look::kChanged) {
    TellDatapath(tunnel);
    SyncListeners();
    next_hops_->Refresh();
  }
  return look == Tunnel::Look::kLater;
}

void Broker::RevisitDatapaths() {
  bool later = false;
  sources_->Refresh();
  for (const auto& [id, tunnel] : tunnels_) later |= RevisitDatapath(*tunnel);
  if (!later || calm_timer_ != TimerId::kNone) return;
  calm_timer_ = loop_.After(Tunnel::kMoveCalm, [this] {
    calm_timer_ = TimerId::kNone;
    RevisitDatapaths();
  });
}

void Broker::Handle(const ipc::PathMtuWanted& m) {
  const Tunnel* tunnel = ById(m.tunnel);
  if (tunnel != nullptr) Tell(LookUpPathMtu(&socket_, m, tunnel->fwmark()));
}

void Broker::Handle(const ipc::SmallestMtu& m) {
  Tunnel* tunnel = ById(m.tunnel);
  if (tunnel == nullptr) return;
  const absl::Status status = tunnel->FitMtu(m.mtu);
  if (!status.ok()) {
    Log(Severity::kError, "MTU of tunnel ", tunnel->config().name, ": ", status.message());
  }
}

void Broker::Handle(const ipc::PathUsed& m) {
  if (const Tunnel* tunnel = ById(m.tunnel); tunnel != nullptr) {
    sources_->Use(m, tunnel->fwmark());
  }
}

// Routes of a netdev that goes down go without an event of their own.
void Broker::NoteRoutes(const netlink::Event& event) {
  if (const auto* route = std::get_if<netlink::RouteEvent>(&event)) {
    // Of others, one that stood in our place may have gone, or have come (`ip route replace`).
    const bool waiting = truce_timer_ != TimerId::kNone;
    routes_changed_ |= route->removed ? waiting || route->route.protocol == netlink::kRouteProtocol
                                      : IsInTheWay(route->route);
  } else if (const auto* rule = std::get_if<netlink::RuleEvent>(&event)) {
    routes_changed_ |= rule->removed && rule->rule.protocol == netlink::kRouteProtocol;
  } else if (const auto* address = std::get_if<netlink::AddressEvent>(&event)) {
    routes_changed_ |= address->removed;
  } else if (const auto* link = std::get_if<netlink::LinkEvent>(&event)) {
    routes_changed_ |= !routes_->TunnelOf(link->link.index).empty();
  } else {
    routes_changed_ |= std::holds_alternative<netlink::Resync>(event);
  }
}

bool Broker::IsInTheWay(const netlink::Route& theirs) const {
  return std::any_of(tunnels_.begin(), tunnels_.end(), [&](const auto& entry) {
    const Tunnel& tunnel = *entry.second;
    return !tunnel.config().classic.has_value() && tunnel.routes().InTheWay(theirs);
  });
}

void Broker::RestoreRoutes() {
  bool later = false;
  for (const auto& [id, tunnel] : tunnels_) {
    if (tunnel->config().classic.has_value() || tunnel->ifindex() == 0) continue;
    later |= tunnel->routes().Restore(loop_.Now()) == RouteKeeper::Look::kLater;
  }
  if (!later || truce_timer_ != TimerId::kNone) return;
  truce_timer_ = loop_.After(RouteKeeper::kTruce, [this] {
    truce_timer_ = TimerId::kNone;
    RestoreRoutes();
  });
}

}  // namespace cipe::broker
