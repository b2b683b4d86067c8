// What clients of the control socket ask for.
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "engine/daemon.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;

// `up` waits this long for the first handshake: one lost initiation is made good within it.
constexpr auto kUpWait = 7s;
constexpr size_t kManyPeers = 100;

absl::Status NotUp(absl::string_view tunnel) {
  return absl::NotFoundError(
      absl::StrCat("tunnel ", tunnel, " is not up; `cipectl up ", tunnel, "` brings it up"));
}

}  // namespace

// Carried out with other directories than the sender thinks of, it would read or change another
// tunnel of the same name.
absl::Status Daemon::CheckDirectories(const control::Request& request) const {
  const auto check = [](const std::string& wanted, const std::string& ours, const char* what,
                        const char* option) -> absl::Status {
    if (wanted.empty() || wanted == ours) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("the running ciped uses ", what, " directory ", ours, ", not ", wanted,
                     ": leave ", option, " out, or run another ciped with its own --runtime-dir"));
  };
  CIPE_RETURN_IF_ERROR(check(request.config_dir, config_dir_, "config", "--config-dir"));
  return check(request.state_dir, state_dir_, "state", "--state-dir");
}

void Daemon::OnRequest(const control::Request& request, control::Responder responder) {
  if (absl::Status status = CheckDirectories(request); !status.ok()) return responder.Fail(status);
  if (request.verb == control::Verb::kShow) return Show(request, responder);
  if (request.verb == control::Verb::kMonitor) return responder.Subscribe(request.name);
  if (request.verb == control::Verb::kForgetClock) {
    return ForgetClock(request, std::move(responder));
  }
  if (request.verb == control::Verb::kReload) return AskReload(request, std::move(responder));
  const uint64_t id = next_request_++;
  const bool up = request.verb == control::Verb::kUp;
  pending_[id] = Pending{request.name,
                         up,
                         request.wait,
                         std::move(responder),
                         {{"tunnel", request.name}, {"ciped_ends", false}}};
  if (up) {
    Tell(ipc::UpRequest{id, request.name});
  } else {
    Tell(ipc::DownRequest{id, request.name});
  }
}

void Daemon::ForgetClock(const control::Request& request, control::Responder responder) {
  const Tunnel* tunnel = engine_->FindTunnel(request.name);
  if (tunnel == nullptr) return responder.Fail(NotUp(request.name));
  Peer* peer = Engine::FindPeer(*tunnel, request.peer);
  if (peer == nullptr) {
    return responder.Fail(
        absl::NotFoundError(absl::StrCat("tunnel ", request.name, " has no peer ", request.peer,
                                         "; `cipectl show peers ", request.name, "` lists them")));
  }
  if (ClassicPeers::Is(*tunnel)) {
    return responder.Fail(absl::FailedPreconditionError(absl::StrCat(
        "tunnel ", request.name, " uses protocol 3, which has no time stamps to forget")));
  }
  const uint64_t id = next_request_++;
  pending_[id] = Pending{request.name,
                         false,
                         false,
                         std::move(responder),
                         {{"tunnel", request.name}, {"peer", peer->config.name}}};
  Tell(ipc::FloorUpdate{id, tunnel->id(), peer->id(), engine_->ForgetClock(*peer)});
}

void Daemon::Show(const control::Request& request, control::Responder& responder) {
  if (!request.name.empty() && engine_->FindTunnel(request.name) == nullptr) {
    return responder.Fail(NotUp(request.name));
  }
  TakeNetworkErrors();
  control::Snapshot snapshot = engine_->TakeSnapshot();
  snapshot.daemon.version = version_;
  snapshot.daemon.ciped_pid = getppid();  // else we were dead: PR_SET_PDEATHSIG
  snapshot.daemon.engine_pid = getpid();
  for (control::TunnelStatus& status : snapshot.tunnels) {
    for (const uint32_t id : engine_->FindTunnel(status.id)->datapath.carriers) {
      const auto it = carriers_.find(id);
      if (it == carriers_.end()) continue;
      const CarrierInfo& c = it->second;
      status.carriers.push_back({c.name, c.queues,
                                 c.queues == 0 ? "socket"
                                 : c.zero_copy ? "afxdp-zerocopy"
                                               : "afxdp-copy",
                                 c.reason.empty() ? std::nullopt : std::optional(c.reason)});
    }
  }
  if (const auto drops = store_->maps().Drops(); drops.ok()) {
    for (int reason = 0; reason < CIPE_DROP_REASONS; ++reason) {
      if ((*drops)[reason] == 0) continue;
      snapshot.drops.push_back({"xdp", control::DropReasonName(reason), (*drops)[reason],
                                control::DropReasonSentence(reason)});
    }
  }
  if (snapshot.peers.size() > kManyPeers) TrimSoon();
  responder.Ok(control::ToJson(snapshot, {request.object, request.name}));
}

// `up` waits for these: who has no endpoint here starts whenever he likes.
bool Daemon::Missing(const Peer& peer) {
  return !peer.config.endpoints.empty() && !Engine::Connected(peer);
}

// Asked for each peer that connects; naming them is for the end.
bool Daemon::AnyMissing(const Tunnel& tunnel) {
  return std::any_of(tunnel.peers.begin(), tunnel.peers.end(),
                     [](const std::unique_ptr<Peer>& peer) { return Missing(*peer); });
}

std::string Daemon::MissingPeers(const Tunnel& tunnel) const {
  std::vector<std::string> missing;
  for (const auto& peer : tunnel.peers) {
    if (!Missing(*peer)) continue;
    missing.push_back(absl::StrCat("peer ", peer->config.name, ": ", engine_->WhyNoSession(*peer)));
  }
  return absl::StrJoin(missing, "; ");
}

void Daemon::FinishUp(Pending& pending, uint32_t id) {
  const Tunnel* tunnel = engine_->FindTunnel(id);
  if (tunnel == nullptr) {
    return pending.responder.Fail(absl::InternalError(
        absl::StrCat("tunnel ", pending.name, " did not come up in the engine; its log says why")));
  }
  if (!pending.wait || MissingPeers(*tunnel).empty()) {
    return pending.responder.Send(control::UpReply(pending.name, WhyDegraded(*tunnel)));
  }
  auto waiter = std::make_unique<Waiter>();
  waiter->name = pending.name;
  waiter->tunnel = id;
  waiter->responder = std::move(pending.responder);
  waiter->timer = loop_->After(kUpWait, [this, id] { CheckWaiters(id, true); });
  waiters_.push_back(std::move(waiter));
}

void Daemon::CheckWaiters(uint32_t id, bool timed_out) {
  const Tunnel* tunnel = engine_->FindTunnel(id);
  if (timed_out) TakeNetworkErrors();
  std::erase_if(waiters_, [&](const std::unique_ptr<Waiter>& waiter) {
    if (waiter->tunnel != id) return false;
    if (!timed_out && tunnel != nullptr && AnyMissing(*tunnel)) return false;
    std::vector<std::string> reasons;
    if (tunnel == nullptr) {
      reasons = {"it went down meanwhile"};
    } else {
      reasons = {WhyDegraded(*tunnel), MissingPeers(*tunnel)};
      std::erase(reasons, "");
    }
    loop_->Cancel(waiter->timer);
    waiter->responder.Send(control::UpReply(waiter->name, absl::StrJoin(reasons, "; ")));
    return true;
  });
}

}  // namespace cipe::engine
