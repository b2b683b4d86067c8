// A tunnel on its way to the next daemon, and from the last one.
#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/tunnel.h"
#include "netlink/link.h"

namespace cipe::broker {
namespace {

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(fd.valid() ? fcntl(fd.get(), F_DUPFD_CLOEXEC, 0) : -1);
}

}  // namespace

TunnelHandover Tunnel::HandOver() const {
  TunnelHandover out;
  out.id = id_;
  out.config = config_.Clone();
  out.peers = peers;
  out.ifindex = static_cast<uint32_t>(ifindex_);
  out.listen_port = udp_.port;
  out.mtu = mtu_;
  out.link_mtu = link_mtu_;
  out.smallest_mtu = smallest_mtu_;
  out.tso = tun_.features.tso;
  out.uso = tun_.features.uso;
  out.ptpaddr = ptpaddr_;
  out.around = around_;
  out.own_table = own_table_;
  for (const UniqueFd& queue : tun_.queues) out.tun.push_back(Duplicate(queue));
  out.udp4 = Duplicate(udp_.v4);
  out.udp6 = Duplicate(udp_.v6);
  out.log = Duplicate(log_);
  return out;
}

absl::StatusOr<std::unique_ptr<Tunnel>> Tunnel::Adopt(TunnelHandover handover,
                                                      netlink::Socket* socket,
                                                      CarrierTable* carriers, RouteBook* routes) {
  if (handover.tun.empty() || (!handover.udp4.valid() && !handover.udp6.valid())) {
    return absl::InvalidArgumentError("it was handed over without netdev or sockets");
  }
  if (!ports::TunAttached(handover.tun.front().get())) {
    return absl::NotFoundError("its interface was deleted meanwhile");
  }
  std::unique_ptr<Tunnel> tunnel(
      new Tunnel(handover.id, std::move(handover.config), socket, carriers, routes));
  tunnel->udp_.v4 = std::move(handover.udp4);
  tunnel->udp_.v6 = std::move(handover.udp6);
  tunnel->udp_.port = handover.listen_port;
  tunnel->tun_.name = tunnel->config_.name;
  tunnel->tun_.queues = std::move(handover.tun);
  tunnel->tun_.features = {handover.tso, handover.tso, handover.uso};
  tunnel->log_ = std::move(handover.log);
  tunnel->ptpaddr_ = handover.ptpaddr;
  tunnel->mtu_ = handover.mtu;
  tunnel->link_mtu_ = handover.link_mtu;
  tunnel->smallest_mtu_ = handover.smallest_mtu;
  tunnel->peers = std::move(handover.peers);
  tunnel->IndexPeers();
  tunnel->around_ = std::move(handover.around);
  tunnel->own_table_ = handover.own_table;
  CIPE_ASSIGN_OR_RETURN(RoutePlan standing,
                        PlanRoutes(tunnel->config_, tunnel->around_, tunnel->own_table_));
  CIPE_ASSIGN_OR_RETURN(const CarrierPlan plan,
                        PlanCarriers(socket, tunnel->config_, tunnel->fwmark(),
                                     tunnel->KnownEndpoints(), /*before=*/{}));
  tunnel->datapath_ = ChooseDatapath(plan, carriers, tunnel->config_);
  tunnel->introduced_ = true;
  routes->KeepTable(tunnel->config_.name, tunnel->own_table_);
  tunnel->routes_ =
      std::make_unique<RouteKeeper>(socket, routes, tunnel->config_.name, tunnel->config_.path,
                                    static_cast<int>(handover.ifindex), std::move(standing));
  tunnel->ifindex_ = static_cast<int>(handover.ifindex);  // last: from now on it is ours to remove
  return tunnel;
}

}  // namespace cipe::broker
