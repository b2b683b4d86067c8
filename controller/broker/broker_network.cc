// What a change of the network, or of a peer's endpoint, means for tunnels that are up.
#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "base/log.h"
#include "broker/broker.h"
#include "broker/endpoint_check.h"
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
    paths_changed_ |= !std::holds_alternative<netlink::NeighbourEvent>(event);
  });
  if (!status.ok()) {
    Log(Severity::kError, "netlink monitor: ", status.message());
    loop_.Unwatch(monitor_.fd());
  }
  Settle();
}

void Broker::Settle() {
  if (settle_timer_ != TimerId::kNone) return;
  settle_timer_ = loop_.After(kSettle, [this] {
    settle_timer_ = TimerId::kNone;
    if (std::exchange(paths_changed_, false)) RevisitDatapaths();
    SyncListeners();
    next_hops_->Refresh();
  });
}

bool Broker::RevisitDatapath(Tunnel& tunnel) {
  const Tunnel::Look look = tunnel.Revisit(loop_.Now());
  if (look == Tunnel::Look::kChanged) {
    Tell(tunnel.DescribeDatapath());
    SyncListeners();
    next_hops_->Refresh();
  }
  return look == Tunnel::Look::kLater;
}

void Broker::RevisitDatapaths() {
  bool later = false;
  for (const auto& [id, tunnel] : tunnels_) later |= RevisitDatapath(*tunnel);
  if (!later || calm_timer_ != TimerId::kNone) return;
  calm_timer_ = loop_.After(Tunnel::kMoveCalm, [this] {
    calm_timer_ = TimerId::kNone;
    RevisitDatapaths();
  });
}

// Of the addresses of a name, the first that may be used and has a route; without any route the
// first that may be used.
absl::StatusOr<Endpoint> Broker::PickEndpoint(const Tunnel& tunnel, const config::Peer& peer,
                                              const Resolved& answer) {
  if (!answer.ok()) return answer.status();
  std::vector<Endpoint> usable;
  absl::Status refused = absl::NotFoundError("the name has no address");
  for (const Endpoint& endpoint : *answer) {
    if (tunnel.config().classic.has_value() && !endpoint.address.is_v4()) {
      refused = absl::NotFoundError("the name has no IPv4 address, and protocol 3 knows no other");
      continue;
    }
    absl::Status status =
        CheckEndpoint(&socket_, tunnel.config(), tunnel.listen_port(), peer, endpoint);
    if (status.ok()) {
      usable.push_back(endpoint);
    } else {
      refused = std::move(status);
    }
  }
  if (usable.empty()) return refused;
  const auto reachable = std::find_if(usable.begin(), usable.end(), [&](const Endpoint& e) {
    return netlink::LookupRoute(&socket_, e.address, tunnel.config().fwmark,
                                static_cast<int>(e.scope_id))
        .ok();
  });
  return reachable == usable.end() ? usable.front() : *reachable;
}

}  // namespace cipe::broker
