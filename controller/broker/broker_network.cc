// What a change of the network, or of a peer's endpoint, means for tunnels that are up.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "broker/broker.h"
#include "broker/endpoint_check.h"
#include "netlink/route.h"

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
    if (tunnel.config().classic.has_value() &&
        endpoint.address == tunnel.config().classic->ptpaddr) {
      refused = absl::FailedPreconditionError(
          absl::StrCat("the name means ", endpoint.address.ToString(),
                       ", which is ptpaddr: the tunnel's packets would be routed into it"));
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
