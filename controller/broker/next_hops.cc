#include "broker/next_hops.h"

#include "netlink/next_hop.h"

namespace cipe::broker {
namespace {

bool Same(const ipc::NextHop& a, const ipc::NextHop& b) {
  return a.usable == b.usable && a.carrier == b.carrier && a.local == b.local &&
         a.source_mac == b.source_mac && a.destination_mac == b.destination_mac;
}

}  // namespace

void NextHops::Want(ipc::TunnelId tunnel, uint32_t fwmark, const Endpoint& endpoint) {
  ipc::NextHop answer;
  answer.endpoint = endpoint;
  const auto key = std::make_pair(tunnel, endpoint);
  if (wanted_.contains(key) || wanted_.size() < kMost) {
    answer = Ask(endpoint, fwmark);
    wanted_[key] = {fwmark, answer};
  }
  announce_(answer);
}

void NextHops::Refresh() {
  for (auto& [key, wanted] : wanted_) {
    ipc::NextHop answer = Ask(key.second, wanted.fwmark);
    if (Same(answer, wanted.told)) continue;
    wanted.told = answer;
    announce_(answer);
  }
}

void NextHops::Forget(ipc::TunnelId tunnel) {
  std::erase_if(wanted_, [&](const auto& entry) { return entry.first.first == tunnel; });
}

ipc::NextHop NextHops::Ask(const Endpoint& endpoint, uint32_t fwmark) const {
  ipc::NextHop answer;
  answer.endpoint = endpoint;
  const auto hop = netlink::ResolveNextHop(socket_, endpoint.address, fwmark, endpoint.scope_id);
  if (!hop.ok() || hop->local || !hop->mac.has_value() || !hop->source.is_set()) return answer;
  // Routes over a VLAN device lead to its own index, not to its parent's: frames of those go out
  // through the kernel, which adds the tag.
  const Carrier* carrier = carriers_.Find(hop->ifindex);
  if (carrier == nullptr) return answer;
  answer.carrier = carrier->id();
  answer.usable = true;
  answer.local = hop->source;
  answer.source_mac = *carrier->link().mac;
  answer.destination_mac = *hop->mac;
  return answer;
}

}  // namespace cipe::broker
