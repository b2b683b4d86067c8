// Everything the broker has, on its way to the next daemon and from the last one.
#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/counted.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker.h"

namespace cipe::broker {
namespace {

UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

}  // namespace

Handover Broker::DescribeAll(int runtime_lock) const {
  Handover all;
  all.version = options_.version;
  all.config_dir = options_.config_dir;
  all.state_dir = options_.state_dir;
  all.starter_uid = options_.starter_uid;
  all.until_last_down = options_.on_idle != nullptr;
  all.socket_unit = options_.socket_unit;
  all.seal_key = seal_key_.Clone();
  all.next_tunnel = next_tunnel_;
  all.next_peer = next_peer_;
  for (const auto& [name, id] : peer_ids_) all.peer_ids.push_back({name, id});
  for (const int fd : maps_.Fds()) all.maps.push_back(Duplicate(fd));
  all.listener = Duplicate(control_listener_.get());
  all.runtime_lock = Duplicate(runtime_lock);
  all.state_lock = Duplicate(state_.lock());
  all.carriers = carriers_->Describe();
  for (const auto& [id, tunnel] : tunnels_) {
    all.tunnels.push_back(tunnel->HandOver());
    all.tunnels.back().ip_up_ran = classic_->HasRunIpUp(id);
  }
  return all;
}

void Broker::HandOver(int runtime_lock, Give give, std::function<void(absl::Status)> failed) {
  if (stopped_) return failed(absl::FailedPreconditionError("this ciped is ending already"));
  if (handing_over_) {
    return failed(absl::FailedPreconditionError("it hands over to another ciped just now"));
  }
  if (hooks_.busy()) {
    return failed(absl::FailedPreconditionError("a hook of a tunnel is running; try again then"));
  }
  handing_over_ = true;
  Log(Severity::kNotice, "handing over to another ciped");
  // Frames wait in the kernel's sockets from here on, packets in the TUN.
  carriers_->StopSteering();
  supervisor_->Dismiss([=, this] {
    OnEngineDeath();
    // What was really sent, instead of what was reserved for an engine that goes on.
    for (const auto& [id, tunnel] : tunnels_) {
      for (const Identities& who : tunnel->identities) floors_.Release(who);
    }
    const absl::Status asked = floor_writer_->Changed([=, this](absl::Status saved) {
      // The disk still has the reservations, above all that was sent, and what peers sent until it
      // took no more: less than a tunnel that cannot come up again while the disk is full.
      if (!saved.ok()) {
        Log(Severity::kWarning,
            "handing over with time stamps that are older than the last: ", saved.message());
      }
      const absl::Status given = GiveAll(runtime_lock, give);
      if (given.ok()) return;
      ResumeAfterHandover();
      failed(given);
    });
    if (asked.ok()) return;
    ResumeAfterHandover();
    failed(asked);
  });
}

absl::Status Broker::GiveAll(int runtime_lock, const Give& give) const {
  Handover all = DescribeAll(runtime_lock);
  CIPE_ASSIGN_OR_RETURN(const PackedHandover packed, Pack(all));
  return give(packed);
}

// Nobody took over: the next engine of our own does.
void Broker::ResumeAfterHandover() {
  handing_over_ = false;
  for (const auto& [id, tunnel] : tunnels_) {
    for (const Identities& who : tunnel->identities) floors_.Use(who);
  }
  supervisor_->Resume();
}

absl::Status Broker::TakeOver(Handover from) {
  Log(Severity::kNotice, "taking ", Counted(from.tunnels.size(), "tunnel"), " over from ciped ",
      from.version);
  seal_key_ = std::move(from.seal_key);
  next_tunnel_ = from.next_tunnel;
  next_peer_ = from.next_peer;
  for (NamedPeer& peer : from.peer_ids) peer_ids_[std::move(peer.name)] = peer.id;
  CIPE_RETURN_IF_ERROR(listeners_.Adopt());
  carriers_->Adopt(&socket_, std::move(from.carriers));
  for (TunnelHandover& tunnel : from.tunnels) TakeOverTunnel(std::move(tunnel));
  carriers_->DropUnused();
  SyncListeners();
  supervisor_->ExpectTakeover();
  return absl::OkStatus();
}

void Broker::TakeOverTunnel(TunnelHandover from) {
  const ipc::TunnelId id = from.id;
  const std::string name = from.config.name;
  const bool ip_up_ran = from.ip_up_ran;
  const IpAddress ptpaddr = from.ptpaddr;
  const auto failed = [&](const absl::Status& why) {
    Log(Severity::kError, "tunnel ", name, " is not taken over: ", why.message());
    WipeSessions(id);
  };
  auto identities = IdentitiesOf(from.config);
  if (!identities.ok()) return failed(identities.status());
  auto tunnel = Tunnel::Adopt(std::move(from), &socket_, carriers_.get(), routes_.get());
  if (!tunnel.ok()) return failed(tunnel.status());
  Tunnel* t = tunnels_.emplace(id, *std::move(tunnel)).first->second.get();
  t->identities = *std::move(identities);
  for (const Identities& who : t->identities) floors_.Use(who);
  classic_->OnAdopted(t, ip_up_ran, ptpaddr);
  for (size_t i = 0; i < t->peers.size(); ++i) {
    ipc::PeerSetup& peer = t->peers[i];
    const Endpoint first = endpoints_->Add(id, peer.peer, t->config().peers[i].endpoints);
    if (!peer.endpoint.is_set()) peer.endpoint = first;
  }
}

}  // namespace cipe::broker
