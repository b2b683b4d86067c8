#include "broker/datapath.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "broker/library_resolver.h"
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

// Why frames cannot leave by this interface.
std::string LinkTrouble(const netlink::Link& link) {
  if (!link.up)
    return absl::StrCat("carrier ", link.name, " is down (ip link set dev ", link.name, " up)");
  if (!link.lower_up) return absl::StrCat("carrier ", link.name, " has no link");
  return "";
}

}  // namespace

std::vector<std::string> CarrierPlan::Names() const {
  std::vector<std::string> names;
  for (const CarrierChoice& one : found) names.push_back(one.link.name);
  names.insert(names.end(), missing.begin(), missing.end());
  return names;
}

std::string CarrierPlan::Trouble() const {
  std::vector<std::string> troubles;
  for (const std::string& name : missing) {
    troubles.push_back(absl::StrCat("carrier ", name, " is not there"));
  }
  for (const CarrierChoice& one : found) {
    std::string trouble = LinkTrouble(one.link);
    if (trouble.empty()) return "";  // one way out is enough
    troubles.push_back(std::move(trouble));
  }
  return absl::StrJoin(troubles, "; ");
}

std::string CarrierPlan::Seen(const CarrierTable& carriers) const {
  std::string seen = absl::StrCat(absl::StrJoin(missing, ","), "|", Trouble());
  for (const CarrierChoice& one : found) {
    // Our own program is no news; somebody else's, or a device switched on, is worth another try.
    const bool ours =
        carriers.Find(one.attach.index) != nullptr || carriers.FailedAsItIs(one.attach);
    absl::StrAppend(&seen, "|", one.link.name, " ", one.link.mtu, " ", one.attach.index, " ",
                    one.vlan, " ", one.obstacle, " ",
                    ours ? "ours" : absl::StrCat(one.attach.up, " ", one.attach.xdp_program_id));
  }
  return seen;
}

namespace {

// What the peers resolved to and what is configured as numbers, each address once. A name is
// resolved later; the default route stands in for it until then.
std::vector<Endpoint> Known(const config::Tunnel& config, absl::Span<const Endpoint> endpoints) {
  std::vector<Endpoint> known;
  const bool relayed = config.classic.has_value() && config.classic->socks.has_value();
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.is_set() && !relayed) known.push_back(endpoint);
  }
  for (const config::Peer& peer : config.peers) {
    // Behind a SOCKS server all packets go there.
    std::vector<config::EndpointSpec> all = peer.endpoints;
    if (relayed) all = {*config.classic->socks};
    for (const config::EndpointSpec& to : all) {
      const auto endpoint = ParseNumericEndpoint(to);
      if (endpoint.ok() && endpoint->is_set()) known.push_back(*endpoint);
    }
  }
  std::set<std::pair<IpAddress, uint32_t>> seen;
  std::erase_if(known, [&](const Endpoint& endpoint) {
    return !seen.insert({endpoint.address, endpoint.scope_id}).second;
  });
  return known;
}

// Smallest MTU that the routes to the endpoints say (0 for none): it may be less than their
// interfaces'. What was learned from ICMP does not count: anybody can send that, and the engine
// finds out about each path by itself.
uint32_t RouteMtu(netlink::Socket* socket, const config::Tunnel& config, uint32_t mark,
                  absl::Span<const Endpoint> endpoints) {
  uint32_t least = 0;
  for (const Endpoint& endpoint : Known(config, endpoints)) {
    const auto route =
        netlink::LookupRoute(socket, endpoint.address, mark, static_cast<int>(endpoint.scope_id));
    if (!route.ok() || route->mtu == 0 || route->mtu_learned) continue;
    least = least == 0 ? route->mtu : std::min(least, route->mtu);
  }
  return least;
}

}  // namespace

std::vector<std::string> FindCarriers(netlink::Socket* socket, const config::Tunnel& config,
                                      uint32_t mark, absl::Span<const Endpoint> endpoints) {
  if (!config.carriers.empty()) return config.carriers;
  std::vector<std::string> names;
  for (const Endpoint& endpoint : Known(config, endpoints)) {
    const auto route =
        netlink::LookupRoute(socket, endpoint.address, mark, static_cast<int>(endpoint.scope_id));
    if (route.ok()) AddLink(socket, route->ifindex, &names);
  }
  if (!names.empty()) return names;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto route = netlink::DefaultRoute(socket, family);
    if (route.ok()) AddLink(socket, route->ifindex, &names);
  }
  return names;
}

absl::StatusOr<CarrierPlan> PlanCarriers(netlink::Socket* socket, const config::Tunnel& config,
                                         uint32_t mark, absl::Span<const Endpoint> endpoints,
                                         const std::vector<std::string>& before) {
  CarrierPlan plan;
  plan.route_mtu = RouteMtu(socket, config, mark, endpoints);
  std::vector<std::string> names = FindCarriers(socket, config, mark, endpoints);
  if (names.empty()) names = before;
  for (const std::string& name : names) {
    absl::StatusOr<CarrierChoice> one = ChooseCarrier(socket, name);
    if (one.ok()) {
      plan.found.push_back(*std::move(one));
    } else if (!absl::IsNotFound(one.status())) {
      return one.status();
    } else {
      if (!config.carriers.empty()) plan.first_missing.Update(one.status());
      plan.missing.push_back(name);
    }
  }
  return plan;
}

namespace {

// Everything the plan names, as far as it can be had; `choice->obstacle` is the last thing in the
// way.
void AcquireAll(const CarrierPlan& plan, CarrierTable* carriers, DatapathChoice* choice) {
  for (const CarrierChoice& one : plan.found) {
    if (!one.obstacle.empty()) {
      choice->obstacle = {"carrier_unfit", one.obstacle};
      continue;
    }
    const absl::StatusOr<const Carrier*> carrier = carriers->Acquire(one.attach);
    if (!carrier.ok()) {
      choice->obstacle = {"xdp_refused", absl::StrCat("carrier ", one.attach.name, ": ",
                                                      carrier.status().message())};
      continue;
    }
    choice->carriers.push_back((*carrier)->id());
    choice->vlans.push_back(one.vlan);
  }
}

// What keeps this carrier from taking frames; not for one that does.
Hindrance WhatIsMissing(const Carrier& carrier) {
  const std::string& name = carrier.link().name;
  if (carrier.lost) return {"carrier_missing", absl::StrCat("carrier ", name, " went away")};
  if (!carrier.pending()) return carrier.failure();
  if (!carrier.late) {
    return {"rings_pending",
            absl::StrCat("carrier ", name, ": AF_XDP sockets are just being set up")};
  }
  return {"rings_late",
          absl::StrCat("carrier ", name, ": the engine has not mapped its AF_XDP sockets yet")};
}

// Why the rung that frames take by AF_XDP is not the first.
Hindrance WhyNotFirst(bool zero_copy, const std::string& copy_reason) {
  if (zero_copy) return {"configured", "Datapath = xdp"};
  return {"no_zero_copy", copy_reason.empty() ? "driver has no zero-copy AF_XDP" : copy_reason};
}

}  // namespace

void Conclude(const CarrierTable& carriers, const config::Tunnel& config, DatapathChoice* choice) {
  Hindrance why = choice->obstacle;
  bool ready = false, zero_copy = true, failed = !why.text.empty();
  std::string copy_reason;
  choice->pending = false;
  for (const ipc::CarrierId id : choice->carriers) {
    const Carrier* carrier = carriers.ById(id);
    if (carrier == nullptr) continue;
    if (carrier->ready()) {
      ready = true;
      zero_copy = zero_copy && carrier->zero_copy();
      if (!carrier->zero_copy()) copy_reason = carrier->copy_reason();
      continue;
    }
    choice->pending |= carrier->pending() && !carrier->late;
    failed |= !carrier->pending() || carrier->late;
    if (why.text.empty()) why = WhatIsMissing(*carrier);
  }
  const bool automatic = config.datapath == config::Datapath::kAuto;
  const bool socket = config.datapath == config::Datapath::kSocket;
  choice->afxdp_tx =
      ready && (config.datapath == config::Datapath::kAfxdp || (zero_copy && automatic));
  choice->rung = !ready ? 3 : zero_copy && choice->afxdp_tx ? 1 : 2;
  choice->degraded = !automatic && !socket && (failed || (!ready && !choice->pending));
  if (choice->rung == 2 && why.text.empty()) why = WhyNotFirst(zero_copy, copy_reason);
  choice->cause = why.cause;
  choice->reason = why.text;
}

DatapathChoice ChooseDatapath(const CarrierPlan& plan, CarrierTable* carriers,
                              const config::Tunnel& config) {
  DatapathChoice choice;
  choice.trouble = plan.Trouble();
  choice.names = plan.Names();
  for (const CarrierChoice& one : plan.found) {
    const uint32_t mtu = one.link.mtu;
    choice.path_mtu = choice.path_mtu == 0 ? mtu : std::min(choice.path_mtu, mtu);
  }
  if (const uint32_t mtu = plan.route_mtu; mtu != 0) {
    choice.path_mtu = choice.path_mtu == 0 ? mtu : std::min(choice.path_mtu, mtu);
  }
  if (config.datapath == config::Datapath::kSocket) {
    choice.obstacle = {"configured", "Datapath = socket"};
  } else {
    if (!plan.missing.empty()) {
      choice.obstacle = {
          "carrier_missing",
          absl::StrCat("carrier ", absl::StrJoin(plan.missing, ", "),
                       " is not there; XDP and AF_XDP are set up again when it comes back")};
    } else if (plan.found.empty()) {
      choice.obstacle = {"no_carrier",
                         "no carrier: no route to an endpoint and no default route; set Carrier ="};
    }
    AcquireAll(plan, carriers, &choice);
  }
  Conclude(*carriers, config, &choice);
  choice.seen = plan.Seen(*carriers);
  return choice;
}

}  // namespace cipe::broker
