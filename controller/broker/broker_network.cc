// What a change of the network, or of a peer's endpoint, means for tunnels that are up.
#include "broker/broker.h"

namespace cipe::broker {

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

}  // namespace cipe::broker
