#include "broker/tunnel.h"

#include <fcntl.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/endpoint_check.h"
#include "broker/tunnel_plan.h"
#include "netlink/address.h"
#include "netlink/link.h"

namespace cipe::broker {
namespace {

UniqueFd Duplicate(const UniqueFd& fd) {
  return UniqueFd(fd.valid() ? fcntl(fd.get(), F_DUPFD_CLOEXEC, 0) : -1);
}

void SetClassicSocket(const config::ClassicOptions& classic, ports::UdpSocketOptions* options) {
  const auto me = IpAddress::Parse(classic.me.host);
  const uint8_t any[4] = {};
  options->address = me.ok() && me->is_v4() && !classic.dynip ? *me : IpAddress::V4(any);
  options->ttl = classic.cttl;
  options->checksums = classic.udpsum;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tunnel>> Tunnel::Up(ipc::TunnelId id, config::Tunnel config,
                                                   netlink::Socket* socket, CarrierTable* carriers,
                                                   RouteBook* routes) {
  // From here on the destructor undoes what was done.
  std::unique_ptr<Tunnel> tunnel(new Tunnel(id, std::move(config), socket, carriers, routes));
  CIPE_RETURN_IF_ERROR(tunnel->TakeTable());
  CIPE_RETURN_IF_ERROR(tunnel->OpenSockets());
  CIPE_RETURN_IF_ERROR(CheckEndpoints(socket, tunnel->config_, tunnel->Way()));
  CIPE_ASSIGN_OR_RETURN(const CarrierPlan plan,
                        PlanCarriers(socket, tunnel->config_, tunnel->fwmark(), {}, {}));
  CIPE_RETURN_IF_ERROR(plan.first_missing);
  tunnel->datapath_ = ChooseDatapath(plan, carriers, tunnel->config_);
  CIPE_RETURN_IF_ERROR(tunnel->MakeNetdev());
  if (tunnel->config_.classic.has_value()) CIPE_RETURN_IF_ERROR(tunnel->AddClassicAddress());
  // A link-local address would send router solicitations, which belong to no peer.
  CIPE_RETURN_IF_ERROR(netlink::SetLinkNoAutoAddress(socket, tunnel->ifindex_));
  CIPE_RETURN_IF_ERROR(netlink::SetLinkUp(socket, tunnel->ifindex_, true));
  CIPE_RETURN_IF_ERROR(tunnel->AddRoutes());
  CIPE_RETURN_IF_ERROR(CheckEndpoints(
      socket, tunnel->config_, tunnel->Way()));  // again, now that there is a way into the tunnel
  return tunnel;
}

Tunnel::~Tunnel() {
  // First what is not bound to the netdev. Addresses and routes go with it, and that goes even if
  // somebody still holds a queue.
  if (routes_ == nullptr) book_->LeaveTable(config_.name);
  routes_.reset();
  if (ifindex_ != 0) netlink::DeleteLink(socket_, ifindex_).IgnoreError();
  tun_.queues.clear();
  for (const ipc::CarrierId id : datapath_.carriers) carriers_->Release(id);
}

absl::Status Tunnel::OpenSockets() {
  ports::UdpSocketOptions options;
  options.port = config_.listen_port;
  options.fwmark = fwmark();
  if (config_.classic.has_value()) SetClassicSocket(*config_.classic, &options);
  CIPE_ASSIGN_OR_RETURN(udp_, ports::OpenUdpSockets(options));
  return absl::OkStatus();
}

absl::Status Tunnel::MakeNetdev() {
  ports::TunOptions options;
  options.name = config_.name;
  CIPE_ASSIGN_OR_RETURN(tun_, ports::CreateTunDevice(options));
  CIPE_ASSIGN_OR_RETURN(const netlink::Link link, netlink::GetLink(socket_, config_.name));
  ifindex_ = link.index;
  mtu_ = TunnelMtu(config_, datapath_.path_mtu);
  link_mtu_ = mtu_;
  return netlink::SetLinkMtu(socket_, ifindex_, mtu_);
}

bool Tunnel::NetdevGone() const { return !ports::TunAttached(tun_.queues.front().get()); }

absl::Status Tunnel::FitMtu(uint32_t smallest) {
  smallest_mtu_ = smallest;
  const uint32_t mtu = LinkMtu(config_, mtu_, smallest);
  if (mtu == link_mtu_ || ifindex_ == 0) return absl::OkStatus();
  CIPE_RETURN_IF_ERROR(netlink::SetLinkMtu(socket_, ifindex_, mtu));
  Log(Severity::kNotice, "tunnel ", config_.name, ": MTU ", mtu,
      mtu < mtu_ ? ", the smallest of its peers" : "");
  link_mtu_ = mtu;
  return absl::OkStatus();
}

// The carriers are other ones now, so the path has another MTU; with none at all it stays.
absl::Status Tunnel::FitPathMtu() {
  if (datapath_.path_mtu == 0) return absl::OkStatus();
  mtu_ = TunnelMtu(config_, datapath_.path_mtu);
  return FitMtu(smallest_mtu_);
}

std::vector<Endpoint> Tunnel::KnownEndpoints() const {
  std::vector<Endpoint> known;
  for (const ipc::PeerSetup& peer : peers) known.push_back(peer.endpoint);
  return known;
}

Tunnel::Look Tunnel::Revisit(Instant now) {
  const auto plan = PlanCarriers(socket_, config_, fwmark(), KnownEndpoints(), datapath_.names);
  if (!plan.ok()) {
    Log(Severity::kError, "carriers of tunnel ", config_.name, ": ", plan.status().message());
    return Look::kSame;
  }
  if (plan->Seen(*carriers_) == datapath_.seen) return Look::kSame;
  // Attaching a program resets the link of some drivers, which may take routes away and bring the
  // move straight back: nobody moves twice in a row from an interface that is still there.
  if (plan->Names() != datapath_.names && !datapath_.carriers.empty() &&
      carriers_->AllAlive(datapath_.carriers)) {
    if (moved_at_.has_value() && now - *moved_at_ < kMoveCalm) return Look::kLater;
    moved_at_ = now;
  }
  Choose(*plan);
  return Look::kChanged;
}

void Tunnel::ChooseAgain() {
  const auto plan = PlanCarriers(socket_, config_, fwmark(), KnownEndpoints(), {});
  if (plan.ok()) return Choose(*plan);
  Log(Severity::kError, "carriers of tunnel ", config_.name, ": ", plan.status().message());
}

void Tunnel::Choose(const CarrierPlan& plan) {
  DatapathChoice next = ChooseDatapath(plan, carriers_, config_);
  const DatapathChoice before = std::exchange(datapath_, std::move(next));
  // After the new ones were acquired: what both have stays attached.
  for (const ipc::CarrierId id : before.carriers) carriers_->Release(id);
  LogRung();
  if (const absl::Status status = FitPathMtu(); !status.ok()) {
    Log(Severity::kError, "MTU of tunnel ", config_.name, ": ", status.message());
  }
}

void Tunnel::Conclude() {
  broker::Conclude(*carriers_, config_, &datapath_);
  LogRung();
}

bool Tunnel::HasFailedCarrier(int ifindex) const {
  for (const ipc::CarrierId id : datapath_.carriers) {
    const Carrier* carrier = carriers_->ById(id);
    if (carrier == nullptr || carrier->state() != Carrier::State::kFailed) continue;
    if (ifindex == 0 || carrier->link().index == ifindex) return true;
  }
  return false;
}

void Tunnel::LogRung() {
  const DatapathChoice& now = datapath_;
  if (now.pending || (now.rung == logged_rung_ && now.reason == logged_reason_)) return;
  const bool worse = introduced_ ? now.rung > logged_rung_ && logged_rung_ != 0 : now.degraded;
  Log(worse ? Severity::kWarning : Severity::kNotice, "tunnel ", config_.name,
      introduced_ ? " is on rung " : " is up on rung ", now.rung, introduced_ ? " now" : "",
      now.reason.empty() ? "" : ": ", now.reason);
  introduced_ = true;
  logged_rung_ = now.rung;
  logged_reason_ = now.reason;
}

absl::Status Tunnel::AddClassicAddress() {
  const config::ClassicOptions& options = *config_.classic;
  // The same address on another interface is no mistake here: the manual's own examples have it.
  if (options.LearnsPtpaddr()) {
    return netlink::AddAddress(socket_, ifindex_, {options.ipaddr, 32});
  }
  return netlink::AddPointToPoint(socket_, ifindex_, options.ipaddr, options.ptpaddr,
                                  static_cast<uint32_t>(options.metric));
}

absl::Status Tunnel::SetPtpaddr(const IpAddress& ptpaddr) {
  const config::ClassicOptions& options = *config_.classic;
  const IpAddress old = ptpaddr_.is_set() ? ptpaddr_ : options.ipaddr;
  // The new one first: without any address the kernel would drop the netdev's other routes too.
  CIPE_RETURN_IF_ERROR(netlink::AddPointToPoint(socket_, ifindex_, options.ipaddr, ptpaddr,
                                                static_cast<uint32_t>(options.metric)));
  ptpaddr_ = ptpaddr;
  return netlink::RemovePointToPoint(socket_, ifindex_, options.ipaddr, old);
}

ipc::TunnelAdd Tunnel::Describe(bool takeover) const {
  ipc::TunnelAdd add;
  add.tunnel = id_;
  add.takeover = takeover;
  add.config = config_.Clone();
  add.peers = peers;
  add.ifindex = static_cast<uint32_t>(ifindex_);
  add.mtu = mtu_;
  add.listen_port = udp_.port;
  add.tso = tun_.features.tso;
  add.uso = tun_.features.uso;
  add.datapath = Datapath();
  for (const UniqueFd& queue : tun_.queues) add.tun.push_back(Duplicate(queue));
  add.udp4 = Duplicate(udp_.v4);
  add.udp6 = Duplicate(udp_.v6);
  add.log = Duplicate(log_);
  return add;
}

ipc::Datapath Tunnel::Datapath() const {
  return {datapath_.rung,  datapath_.afxdp_tx, datapath_.degraded, datapath_.pending,
          datapath_.cause, datapath_.reason,   datapath_.trouble,  datapath_.carriers};
}

ipc::DatapathChanged Tunnel::DescribeDatapath() const { return {id_, mtu_, Datapath()}; }

size_t Tunnel::IndexOf(ipc::PeerId peer) const {
  const auto it = index_.find(peer);
  return it == index_.end() ? npos : it->second;
}

void Tunnel::IndexPeers() {
  index_.clear();
  for (size_t i = 0; i < peers.size(); ++i) index_[peers[i].peer] = i;
}

}  // namespace cipe::broker
