#include "broker/next_hops.h"

#include "netlink/next_hop.h"

namespace cipe::broker {
namespace {

bool Same(const ipc::NextHop& a, const ipc::NextHop& b) {
  return a.usable == b.usable && a.carrier == b.carrier && a.mtu == b.mtu && a.local == b.local &&
         a.source_mac == b.source_mac && a.destination_mac == b.destination_mac;
}

}  // namespace

void NextHops::Want(ipc::TunnelId tunnel, uint32_t fwmark, const Endpoint& endpoint) {
  const auto key = std::make_pair(tunnel, endpoint);
  if (wanted_.contains(key) || wanted_.size() < kMost) {
    const Wanted& wanted = wanted_[key] = Ask(endpoint, fwmark);
    return announce_(wanted.told);
  }
  ipc::NextHop answer;
  answer.endpoint = endpoint;
  announce_(answer);
}

void NextHops::SetMark(ipc::TunnelId tunnel, uint32_t fwmark) {
  for (auto& [key, wanted] : wanted_) {
    if (key.first != tunnel || wanted.fwmark == fwmark) continue;
    wanted.fwmark = fwmark;
    RefreshOne(key.second, &wanted);
  }
}

void NextHops::Refresh() {
  for (auto& [key, wanted] : wanted_) RefreshOne(key.second, &wanted);
}

void NextHops::RefreshNarrow() {
  for (auto& [key, wanted] : wanted_) {
    if (wanted.narrow) RefreshOne(key.second, &wanted);
  }
}

void NextHops::RefreshOne(const Endpoint& endpoint, Wanted* wanted) {
  const ipc::NextHop before = wanted->told;
  *wanted = Ask(endpoint, wanted->fwmark);
  if (!Same(before, wanted->told)) announce_(wanted->told);
}

void NextHops::Forget(ipc::TunnelId tunnel) {
  std::erase_if(wanted_, [&](const auto& entry) { return entry.first.first == tunnel; });
}

NextHops::Wanted NextHops::Ask(const Endpoint& endpoint, uint32_t fwmark) const {
  Wanted wanted;
  wanted.fwmark = fwmark;
  ipc::NextHop& answer = wanted.told;
  answer.endpoint = endpoint;
  const auto hop = netlink::ResolveNextHop(socket_, endpoint.address, fwmark, endpoint.scope_id);
  if (!hop.ok() || hop->local || !hop->mac.has_value() || !hop->source.is_set()) return wanted;
  // Routes over a VLAN device lead to its own index, not to its parent's: frames of those go out
  // through the kernel, which adds the tag.
  const Carrier* carrier = carriers_.Find(hop->ifindex);
  if (carrier == nullptr || !carrier->ready()) return wanted;
  answer.carrier = carrier->id();
  answer.usable = true;
  answer.mtu = hop->mtu;
  answer.local = hop->source;
  answer.source_mac = *carrier->link().mac;
  answer.destination_mac = *hop->mac;
  wanted.narrow = hop->mtu < carrier->link().mtu;
  return wanted;
}

}  // namespace cipe::broker
