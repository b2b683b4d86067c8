#include "broker/datapath.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/resolver.h"
#include "netlink/route.h"

namespace cipe::broker {
namespace {

void AddLink(netlink::Socket* socket, int ifindex, std::vector<std::string>* names) {
  const auto link = netlink::GetLink(socket, ifindex);
  if (!link.ok()) return;
  if (std::find(names->begin(), names->end(), link->name) == names->end()) {
    names->push_back(link->name);
  }
}

// The carrier of one interface, or why there is none.
absl::StatusOr<const Carrier*> AcquireOne(const CarrierChoice& found, CarrierTable* carriers) {
  if (!found.obstacle.empty()) return absl::FailedPreconditionError(found.obstacle);
  absl::StatusOr<const Carrier*> carrier = carriers->Acquire(found.attach);
  if (carrier.ok()) return carrier;
  return absl::Status(carrier.status().code(), absl::StrCat("carrier ", found.attach.name, ": ",
                                                            carrier.status().message()));
}

void Conclude(const config::Tunnel& config, bool zero_copy, const std::string& copy_reason,
              DatapathChoice* choice) {
  if (choice->carriers.empty()) {
    choice->rung = 3;
    choice->degraded = config.datapath != config::Datapath::kAuto;
    return;
  }
  const bool forced_tx = config.datapath == config::Datapath::kAfxdp;
  choice->afxdp_tx = forced_tx || (zero_copy && config.datapath == config::Datapath::kAuto);
  choice->rung = zero_copy && choice->afxdp_tx ? 1 : 2;
  if (choice->rung == 1 || !choice->reason.empty()) return;
  choice->reason = zero_copy ? "Datapath = xdp" : copy_reason;
  if (choice->reason.empty()) choice->reason = "driver has no zero-copy AF_XDP";
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindCarriers(netlink::Socket* socket,
                                                      const config::Tunnel& config) {
  if (!config.carriers.empty()) return config.carriers;
  std::vector<std::string> names;
  for (const config::Peer& peer : config.peers) {
    // Behind a SOCKS server all packets go there.
    const bool relayed = config.classic.has_value() && config.classic->socks.has_value();
    const std::optional<config::EndpointSpec>& to = relayed ? config.classic->socks : peer.endpoint;
    if (!to.has_value()) continue;
    const auto endpoint = ParseNumericEndpoint(*to);
    if (!endpoint.ok()) continue;  // a name: resolved later, the default route stands in for it
    const auto route = netlink::LookupRoute(socket, endpoint->address, config.fwmark,
                                            static_cast<int>(endpoint->scope_id));
    if (route.ok()) AddLink(socket, route->ifindex, &names);
  }
  if (!names.empty()) return names;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto route = netlink::DefaultRoute(socket, family);
    if (route.ok()) AddLink(socket, route->ifindex, &names);
  }
  return names;
}

absl::StatusOr<DatapathChoice> ChooseDatapath(netlink::Socket* socket, CarrierTable* carriers,
                                              const config::Tunnel& config) {
  DatapathChoice choice;
  CIPE_ASSIGN_OR_RETURN(const std::vector<std::string> names, FindCarriers(socket, config));
  std::vector<CarrierChoice> found;
  for (const std::string& name : names) {
    CIPE_ASSIGN_OR_RETURN(found.emplace_back(), ChooseCarrier(socket, name));
    const uint32_t mtu = found.back().link.mtu;
    choice.path_mtu = choice.path_mtu == 0 ? mtu : std::min(choice.path_mtu, mtu);
  }
  if (config.datapath == config::Datapath::kSocket) {
    choice.reason = "Datapath = socket";
    return choice;
  }
  if (found.empty()) {
    choice.reason = "no carrier: no route to an endpoint and no default route; set Carrier =";
  }
  bool zero_copy = true;
  std::string copy_reason;
  for (const CarrierChoice& one : found) {
    const absl::StatusOr<const Carrier*> carrier = AcquireOne(one, carriers);
    if (!carrier.ok()) {
      choice.reason = std::string(carrier.status().message());
      continue;
    }
    choice.carriers.push_back((*carrier)->id());
    choice.vlans.push_back(one.vlan);
    zero_copy = zero_copy && (*carrier)->zero_copy();
    if (!(*carrier)->zero_copy()) copy_reason = (*carrier)->copy_reason();
  }
  Conclude(config, zero_copy, copy_reason, &choice);
  return choice;
}

}  // namespace cipe::broker
