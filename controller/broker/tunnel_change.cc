// A tunnel that is up becomes what another configuration says, or stays as it is.
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/endpoint_check.h"
#include "broker/tunnel.h"
#include "broker/tunnel_plan.h"
#include "netlink/link.h"

namespace cipe::broker {

absl::StatusOr<Tunnel::Change> Tunnel::Prepare(config::Tunnel next) const {
  Change change;
  if (next.listen_port != 0 && next.listen_port != udp_.port) {
    ports::UdpSocketOptions options;
    options.port = next.listen_port;
    options.fwmark = next.fwmark;
    CIPE_ASSIGN_OR_RETURN(change.udp, ports::OpenUdpSockets(options));
  }
  const uint16_t port = change.udp.has_value() ? change.udp->port : udp_.port;
  // Not yet by which way: routes may be led around a new endpoint (Converge).
  CIPE_RETURN_IF_ERROR(CheckEndpoints(socket_, next, {port, fwmark(), 0}));
  if (next.carriers != config_.carriers) {
    CIPE_ASSIGN_OR_RETURN(const CarrierPlan plan, PlanCarriers(socket_, next, fwmark(), {}, {}));
    CIPE_RETURN_IF_ERROR(plan.first_missing);
  }
  change.config = std::move(next);
  return change;
}

absl::Status Tunnel::Exchange(Change* change) {
  std::swap(config_, change->config);
  if (change->udp.has_value()) std::swap(udp_, *change->udp);
  const absl::Status status = Converge();
  if (status.ok()) return status;
  std::swap(config_, change->config);
  if (change->udp.has_value()) std::swap(udp_, *change->udp);
  const absl::Status undone = Converge();
  if (!undone.ok()) {
    Log(Severity::kError, "tunnel ", config_.name,
        ": a reload failed and left behind: ", undone.message());
  }
  return status;
}

absl::Status Tunnel::Converge() {
  CIPE_RETURN_IF_ERROR(netlink::SetLinkUp(socket_, ifindex_, true));
  mtu_ = TunnelMtu(config_, datapath_.path_mtu);
  link_mtu_ = LinkMtu(config_, mtu_, smallest_mtu_);
  CIPE_RETURN_IF_ERROR(netlink::SetLinkMtu(socket_, ifindex_, link_mtu_));
  CIPE_RETURN_IF_ERROR(ApplyRoutes(config_));
  return CheckEndpoints(socket_, config_, Way());
}

absl::StatusOr<std::vector<std::string>> Tunnel::Drift() const {
  std::vector<std::string> lines;
  CIPE_ASSIGN_OR_RETURN(const auto link, netlink::GetLink(socket_, ifindex_));
  if (!link.up) lines.push_back("the interface is switched off: on");
  if (link.mtu != link_mtu_) {
    lines.push_back(absl::StrCat("the interface has MTU ", link.mtu, ": ", link_mtu_));
  }
  CIPE_ASSIGN_OR_RETURN(const std::string missing, routes_->Drift());
  if (!missing.empty()) lines.push_back(absl::StrCat("gone: ", missing, ": added"));
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
