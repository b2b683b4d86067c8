// Carriers get their AF_XDP sockets in two steps, with the engine's answer between them: what that
// means for the tunnels that use them.
#include <algorithm>
#include <utility>

#include "broker/broker.h"

namespace cipe::broker {

// All that the next engine needs; it hears of the tunnels after that. Where no more could be had
// before, this is a new try.
void Broker::OfferCarriers() {
  carriers_->Reannounce();
  for (const auto& [id, tunnel] : tunnels_) {
    if (tunnel->HasFailedCarrier()) {
      tunnel->ChooseAgain();
    } else {
      tunnel->Conclude();
    }
  }
  SyncListeners();
}

void Broker::OnCarrierSettled(ipc::CarrierId carrier) {
  const Carrier* settled = carriers_->ById(carrier);
  const int ifindex = settled->link().index;
  const bool ready = settled->ready();
  for (const auto& [id, tunnel] : tunnels_) {
    const auto& uses = tunnel->datapath().carriers;
    if (std::find(uses.begin(), uses.end(), carrier) != uses.end()) {
      tunnel->Conclude();
    } else if (ready && tunnel->HasFailedCarrier(ifindex)) {
      tunnel->ChooseAgain();  // the interface has become better since
    } else {
      continue;
    }
    TellDatapath(*tunnel);
  }
  SyncListeners();
  next_hops_->Refresh();
}

void Broker::TellDatapath(const Tunnel& tunnel) {
  Tell(tunnel.DescribeDatapath());
  // Not from here: who waits may take tunnels away, and the caller may be looking at all of them.
  if (settling_.contains(tunnel.id())) {
    loop_.After(Duration::zero(), [this, id = tunnel.id()] { RunSettled(id); });
  }
}

// `then` runs at once for a tunnel whose rung is known, and at the latest when it goes down.
void Broker::WhenSettled(ipc::TunnelId id, std::function<void()> then) {
  settling_[id].push_back(std::move(then));
  RunSettled(id);
}

void Broker::RunSettled(ipc::TunnelId id) {
  if (const Tunnel* tunnel = ById(id); tunnel != nullptr && tunnel->datapath().pending) return;
  const auto waiting = settling_.extract(id);
  if (waiting.empty()) return;
  for (const auto& then : waiting.mapped()) then();
}

}  // namespace cipe::broker
