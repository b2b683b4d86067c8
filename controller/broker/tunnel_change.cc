// A tunnel that is up becomes what another configuration says, or stays as it is.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/endpoint_check.h"
#include "broker/resolver.h"
#include "broker/tunnel.h"
#include "broker/tunnel_plan.h"
#include "netlink/address.h"
#include "netlink/link.h"

namespace cipe::broker {
namespace {

bool Contains(const std::vector<IpPrefix>& prefixes, const IpPrefix& prefix) {
  return std::find(prefixes.begin(), prefixes.end(), prefix) != prefixes.end();
}

uint32_t TableOf(const config::Tunnel& config) {
  return config.table == config::TableChoice::kNumber ? config.table_number : RT_TABLE_MAIN;
}

}  // namespace

absl::StatusOr<Tunnel::Change> Tunnel::Prepare(config::Tunnel next) const {
  CIPE_RETURN_IF_ERROR(RoutedPrefixes(next).status());
  Change change;
  if (next.listen_port != 0 && next.listen_port != udp_.port) {
    ports::UdpSocketOptions options;
    options.port = next.listen_port;
    options.fwmark = next.fwmark;
    CIPE_ASSIGN_OR_RETURN(change.udp, ports::OpenUdpSockets(options));
  }
  const uint16_t port = change.udp.has_value() ? change.udp->port : udp_.port;
  CIPE_RETURN_IF_ERROR(CheckEndpoints(socket_, next, port));
  for (const IpPrefix& address : next.addresses) {
    if (!Contains(config_.addresses, address)) CIPE_RETURN_IF_ERROR(CheckAddressFree(address));
  }
  if (next.carriers != config_.carriers) {
    CIPE_ASSIGN_OR_RETURN(const CarrierPlan plan, PlanCarriers(socket_, next, {}, {}));
    CIPE_RETURN_IF_ERROR(plan.first_missing);
  }
  change.config = std::move(next);
  return change;
}

absl::Status Tunnel::Exchange(Change* change) {
  std::swap(config_, change->config);
  if (change->udp.has_value()) std::swap(udp_, *change->udp);
  const absl::Status status = Converge(change->config.addresses);
  if (status.ok()) return status;
  std::swap(config_, change->config);
  if (change->udp.has_value()) std::swap(udp_, *change->udp);
  const absl::Status undone = Converge(change->config.addresses);
  if (!undone.ok()) {
    Log(Severity::kError, "tunnel ", config_.name,
        ": a reload failed and left behind: ", undone.message());
  }
  return status;
}

// `addresses_before`: those of ours that may be on the netdev beside what config_ says.
absl::Status Tunnel::Converge(const std::vector<IpPrefix>& addresses_before) {
  CIPE_RETURN_IF_ERROR(SetMark());
  CIPE_RETURN_IF_ERROR(SyncAddresses(addresses_before));
  CIPE_RETURN_IF_ERROR(netlink::SetLinkUp(socket_, ifindex_, true));
  mtu_ = TunnelMtu(config_, datapath_.path_mtu);
  link_mtu_ = LinkMtu(config_, mtu_, smallest_mtu_);
  CIPE_RETURN_IF_ERROR(netlink::SetLinkMtu(socket_, ifindex_, link_mtu_));
  return SyncRoutes();
}

// The sockets are the engine's, too: one description, however many descriptors.
absl::Status Tunnel::SetMark() {
  const int mark = static_cast<int>(config_.fwmark);
  for (const UniqueFd* fd : {&udp_.v4, &udp_.v6}) {
    if (!fd->valid()) continue;
    if (setsockopt(fd->get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0) continue;
    return absl::PermissionDeniedError(
        absl::StrCat(config_.path, ": FwMark: ", strerror(errno), "; this needs CAP_NET_ADMIN"));
  }
  return absl::OkStatus();
}

// What was never ours stays. The new ones first: with its last address an interface loses routes.
absl::Status Tunnel::SyncAddresses(const std::vector<IpPrefix>& before) {
  CIPE_ASSIGN_OR_RETURN(const auto listed, netlink::ListAddresses(socket_, ifindex_));
  std::vector<IpPrefix> present;
  for (const netlink::InterfaceAddress& address : listed) present.push_back(address.prefix);
  for (const IpPrefix& prefix : config_.addresses) {
    if (Contains(present, prefix)) continue;
    CIPE_RETURN_IF_ERROR(CheckAddressFree(prefix));
    CIPE_RETURN_IF_ERROR(netlink::AddAddress(socket_, ifindex_, prefix));
  }
  for (const IpPrefix& prefix : before) {
    if (Contains(config_.addresses, prefix) || !Contains(present, prefix)) continue;
    CIPE_RETURN_IF_ERROR(netlink::RemoveAddress(socket_, ifindex_, prefix));
  }
  return absl::OkStatus();
}

absl::StatusOr<Tunnel::RouteChange> Tunnel::CompareRoutes() const {
  CIPE_ASSIGN_OR_RETURN(const std::vector<IpPrefix> prefixes, RoutedPrefixes(config_));
  netlink::RouteFilter ours;
  ours.protocol = netlink::kRouteProtocol;
  ours.ifindex = ifindex_;
  CIPE_ASSIGN_OR_RETURN(const std::vector<netlink::Route> routes,
                        netlink::ListRoutes(socket_, ours));
  std::set<IpPrefix> missing(prefixes.begin(), prefixes.end());
  RouteChange change;
  for (const netlink::Route& route : routes) {
    const bool wanted =
        route.table == TableOf(config_) && missing.erase(route.destination.Masked()) > 0;
    if (!wanted) change.gone.push_back(route);
  }
  change.missing.assign(missing.begin(), missing.end());
  return change;
}

absl::Status Tunnel::SyncRoutes() {
  CIPE_ASSIGN_OR_RETURN(const RouteChange change, CompareRoutes());
  CIPE_RETURN_IF_ERROR(AddRoutes(change.missing));
  for (const netlink::Route& route : change.gone) {
    const absl::Status status = netlink::RemoveRoute(socket_, route);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Tunnel::Drift() const {
  std::vector<std::string> lines;
  CIPE_ASSIGN_OR_RETURN(const auto link, netlink::GetLink(socket_, ifindex_));
  if (!link.up) lines.push_back("the interface is switched off: on");
  if (link.mtu != link_mtu_) {
    lines.push_back(absl::StrCat("the interface has MTU ", link.mtu, ": ", link_mtu_));
  }
  CIPE_ASSIGN_OR_RETURN(const auto listed, netlink::ListAddresses(socket_, ifindex_));
  for (const IpPrefix& prefix : config_.addresses) {
    const auto it = std::find_if(listed.begin(), listed.end(),
                                 [&](const auto& address) { return address.prefix == prefix; });
    if (it != listed.end()) continue;
    lines.push_back(absl::StrCat("address ", prefix.ToString(), " is gone: added"));
  }
  CIPE_ASSIGN_OR_RETURN(const RouteChange routes, CompareRoutes());
  for (const netlink::Route& route : routes.gone) {
    lines.push_back(
        absl::StrCat("route to ", route.destination.ToString(), " is not wanted: removed"));
  }
  for (const IpPrefix& prefix : routes.missing) {
    lines.push_back(absl::StrCat("route to ", prefix.ToString(), " is gone: added"));
  }
  return lines;
}

void Tunnel::LendPorts(ipc::TunnelChange* change) const {
  ipc::TunnelAdd all = Describe(false);
  change->tun = std::move(all.tun);
  change->udp4 = std::move(all.udp4);
  change->udp6 = std::move(all.udp6);
  change->tso = all.tso;
  change->uso = all.uso;
}

}  // namespace cipe::broker
