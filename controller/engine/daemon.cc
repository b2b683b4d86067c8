#include "engine/daemon.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "engine/engine_process.h"
#include "ports/udp_socket.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;

constexpr auto kSuspendNoticed = 1s;
// A worker takes RxPipeline::kMaxBatch = 256 frames a turn, a ring holds 4096.
constexpr int kLastTurns = 16;

absl::StatusOr<Secret<32>> ReadSealKey(const UniqueFd& fd) {
  Secret<32> key;
  const auto octets = key.UnsafeMutableBytes();
  const ssize_t n = pread(fd.get(), octets.data(), octets.size(), 0);
  if (n != static_cast<ssize_t>(octets.size())) {
    return absl::InternalError("the broker's key for cipe_session_keys cannot be read");
  }
  return key;
}

}  // namespace

int RunEngine(UniqueFd channel) { return Daemon(std::move(channel)).Run(); }

absl::Status Daemon::Start() {
  CIPE_ASSIGN_OR_RETURN(loop_, EventLoop::Create(clock_));
  event_wake_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!event_wake_.valid()) {
    return absl::ResourceExhaustedError(absl::StrCat("eventfd: ", std::strerror(errno)));
  }
  CIPE_RETURN_IF_ERROR(loop_->Watch(event_wake_.get(), EPOLLIN, [this](uint32_t) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(event_wake_.get(), &count, sizeof count);
    if (engine_ == nullptr) return;
    engine_->HandleEvents();
    Tick();
  }));
  return loop_->Watch(channel_.fd(), EPOLLIN, [this](uint32_t) { ReadChannel(); });
}

int Daemon::Run() {
  if (absl::Status status = Start(); !status.ok()) {
    Log(Severity::kError, "engine: ", status.ToString());
    return 1;
  }
  if (absl::Status status = loop_->Run(); !status.ok()) {
    Log(Severity::kError, "engine: ", status.ToString());
    exit_code_ = 1;
  }
  feed_.reset();
  server_.reset();
  plane_.reset();
  engine_.reset();
  return exit_code_;
}

void Daemon::ReadChannel() {
  while (true) {
    auto message = channel_.Receive();
    if (absl::IsNotFound(message.status())) return;
    if (!message.ok()) {
      // Without the broker nothing here has an owner: every descriptor goes with this process.
      if (!absl::IsUnavailable(message.status())) {
        Log(Severity::kError, "engine: ", message.status().ToString());
        exit_code_ = 1;
      }
      loop_->Unwatch(channel_.fd());
      return loop_->Stop();
    }
    Handle(*std::move(message));
  }
}

void Daemon::Handle(ipc::Message message) {
  std::visit(
      [this](auto& m) {
        if constexpr (requires { this->On(m); }) {
          if (engine_ != nullptr || std::is_same_v<std::decay_t<decltype(m)>, ipc::Hello>) On(m);
        } else {
          Log(Severity::kError, "engine: the broker sent a message that only engines send");
        }
      },
      message);
  if (engine_ != nullptr) Tick();
}

void Daemon::Tell(ipc::Message message) {
  if (absl::Status s = channel_.Send(std::move(message)); !s.ok() && !absl::IsUnavailable(s)) {
    Log(Severity::kError, "engine to broker: ", s.ToString());
  }
}

absl::Status Daemon::SetUp(ipc::Hello& hello) {
  version_ = hello.version;
  config_dir_ = hello.config_dir;
  state_dir_ = hello.state_dir;
  route_probe_ = {std::move(hello.route_probe4), std::move(hello.route_probe6)};
  CIPE_ASSIGN_OR_RETURN(auto maps, steering::MapSet::FromFds(std::move(hello.maps)));
  CIPE_ASSIGN_OR_RETURN(auto seal_key, ReadSealKey(hello.seal_key));
  CIPE_ASSIGN_OR_RETURN(store_,
                        MapSessionStore::Create(std::move(maps), std::move(seal_key), rng_));
  EngineOptions options;
  options.node_id = hello.node_id;
  options.backend = BestBackend();
  options.event_wake = event_wake_.get();
  engine_ = std::make_unique<Engine>(options, clock_, rng_, *this, *store_);
  CIPE_ASSIGN_OR_RETURN(
      plane_,
      dataplane::DataPlane::Create(
          clock_, engine_->sessions(), engine_->quiescent(), engine_->events(),
          [this](uint32_t tunnel, const Endpoint& endpoint) {
            loop_->Post([this, tunnel, endpoint] { Tell(ipc::NextHopWanted{tunnel, endpoint}); });
          }));
  control::ServerOptions server_options;
  server_options.owner = hello.starter_uid;
  CIPE_ASSIGN_OR_RETURN(server_,
                        control::ControlServer::Create(
                            *loop_, std::move(hello.control_listener),
                            [this](const control::Request& request, control::Responder responder) {
                              OnRequest(request, std::move(responder));
                            },
                            server_options));
  feed_ = std::make_unique<EventFeed>(*server_, clock_);
  return absl::OkStatus();
}

void Daemon::On(ipc::Hello& hello) {
  if (absl::Status status = SetUp(hello); !status.ok()) {
    Log(Severity::kError, "engine: ", status.ToString());
    exit_code_ = 1;
    return loop_->Stop();
  }
  Tell(ipc::Ready{});
}

void Daemon::On(ipc::CarrierRenamed& renamed) {
  const auto it = carriers_.find(renamed.carrier);
  if (it != carriers_.end()) it->second.name = renamed.name;
}

void Daemon::On(ipc::TunnelAdd& add) {
  const uint32_t id = add.tunnel;
  if (add.log.valid()) AddLogTap(add.config.name, std::move(add.log));
  dataplane::TunnelPorts ports;
  ports.tun = std::move(add.tun);
  ports.udp4 = std::move(add.udp4);
  ports.udp6 = std::move(add.udp6);
  ports.tso = add.tso;
  ports.uso = add.uso;
  ports.afxdp = add.datapath.afxdp_tx;
  if (absl::Status status = engine_->AddTunnel(add); !status.ok()) {
    Log(Severity::kError, "tunnel ", id, ": ", status.ToString());
    return;
  }
  ports.path = &engine_->FindTunnel(id)->path;
  if (absl::Status status = plane_->AddTunnel(std::move(ports)); !status.ok()) {
    Log(Severity::kError, "tunnel ", id, ": ", status.ToString());
    engine_->RemoveTunnel(id);
    return;
  }
  engine_->StartTunnel(id);
}

void Daemon::On(ipc::TunnelRemove& remove) {
  engine_->CloseSessions(remove.tunnel);
  if (const Tunnel* tunnel = engine_->FindTunnel(remove.tunnel)) {
    RemoveLogTap(tunnel->config.name);
    Report({control::EventKind::kDown, tunnel->config.name, ""});
  }
  engine_->StopTunnel(remove.tunnel);
  plane_->RemoveTunnel(remove.tunnel);
  CheckWaiters(remove.tunnel, true);
  engine_->RemoveTunnel(remove.tunnel);
  Tell(ipc::TunnelRemoved{remove.tunnel});
}

void Daemon::On(ipc::SourceGone& gone) {
  engine_->SourceGone(gone.tunnel, gone.peer, {gone.remote, gone.local});
}

void Daemon::On(ipc::EndpointResolved& resolved) {
  engine_->EndpointResolved(resolved.tunnel, resolved.peer, resolved.endpoint, resolved.trouble);
}

void Daemon::On(ipc::DatapathChanged& changed) {
  plane_->SetAfxdp(changed.tunnel, changed.datapath.afxdp_tx);
  engine_->DatapathChanged(changed);
}

// By way of every worker: one that hangs is as good as dead, and it takes this thread along the
// next time it is asked for something.
void Daemon::On(ipc::Ping& ping) {
  if (plane_ == nullptr) return;  // it could not be set up: this process is about to end
  plane_->AfterTurn(
      [this, number = ping.number] { loop_->Post([this, number] { Tell(ipc::Pong{number}); }); });
}

void Daemon::On(ipc::Leave&) { Leave(kLastTurns); }

// Turn by turn, so that frames which wait in AF_XDP rings are delivered and not lost with them. The
// engine object is not destroyed: that would wipe the sessions which somebody is about to take
// over.
void Daemon::Leave(int turns) {
  if (plane_ == nullptr) _exit(0);
  if (turns > 0) {
    return plane_->AfterTurn([this, turns] { loop_->Post([this, turns] { Leave(turns - 1); }); });
  }
  plane_.reset();
  engine_->SaveAllTraffic();
  _exit(0);
}

void Daemon::On(ipc::ClassicRelay& relay) {
  engine_->ClassicRelay(relay.tunnel, relay.relay, relay.state);
}

void Daemon::On(ipc::NextHop& hop) {
  if (!hop.usable) return plane_->ForgetNextHop(hop.endpoint);
  packet::OuterPath outer;
  outer.source_mac = hop.source_mac;
  outer.destination_mac = hop.destination_mac;
  outer.source.address = hop.local;
  outer.destination = hop.endpoint;
  plane_->SetNextHop(hop.carrier, hop.endpoint, hop.mtu, outer);
}

void Daemon::On(ipc::Reply& reply) {
  if (const auto floor = floors_.find(reply.request); floor != floors_.end()) {
    const FloorRequest request = floor->second;
    floors_.erase(floor);
    return engine_->FloorSaved(request.tunnel, request.peer, request.floor, reply.status);
  }
  const auto it = pending_.find(reply.request);
  if (it == pending_.end()) return;
  Pending pending = std::move(it->second);
  pending_.erase(it);
  if (!reply.status.ok()) return pending.responder.Fail(reply.status);
  if (pending.up) return FinishUp(pending, reply.tunnel);
  if (const auto ends = pending.result.find("ciped_ends"); ends != pending.result.end()) {
    *ends = reply.ending;
  }
  pending.responder.Ok(std::move(pending.result));
}

// ---- World ----

int Daemon::Send(uint32_t tunnel, const session::Path& path, absl::Span<const uint8_t> frame) {
  return plane_->Send(tunnel, path, frame);
}

void Daemon::SendStaged(uint32_t tunnel) { plane_->SendStaged(tunnel); }

void Daemon::DropStaged(uint32_t tunnel, absl::Span<const session::PeerPath* const> peers) {
  plane_->DropStaged(tunnel, peers);
}

void Daemon::Settle(uint32_t tunnel) { plane_->Settle(tunnel); }

void Daemon::SaveFloor(uint32_t tunnel, uint32_t peer, const ipc::Floor& floor,
                       bool must_be_durable) {
  uint64_t request = 0;
  if (must_be_durable) {
    request = next_request_++;
    floors_[request] = {tunnel, peer, floor};
  }
  Tell(ipc::FloorUpdate{request, tunnel, peer, floor});
}

void Daemon::EndpointFailed(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint) {
  Tell(ipc::EndpointFailed{tunnel, peer, endpoint});
}

void Daemon::PathUsed(uint32_t tunnel, uint32_t peer, const session::Path& path) {
  Tell(ipc::PathUsed{tunnel, peer, path.remote, path.local});
}

void Daemon::SmallestMtu(uint32_t tunnel, uint32_t mtu) { Tell(ipc::SmallestMtu{tunnel, mtu}); }

void Daemon::AskPathMtu(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint) {
  Tell(ipc::PathMtuWanted{tunnel, peer, endpoint});
}

bool Daemon::MayBePeer(const Endpoint& endpoint, uint16_t own_port) {
  return route_probe_.MayBeOtherHost(endpoint, own_port);
}

void Daemon::ClassicPeer(uint32_t tunnel, const Endpoint& peer, const IpAddress& ptpaddr) {
  Tell(ipc::ClassicPeer{tunnel, peer, ptpaddr});
}

void Daemon::ClassicOver(uint32_t tunnel, const std::string& reason) {
  Tell(ipc::ClassicOver{tunnel, reason});
}

void Daemon::Report(const control::Event& event) {
  if (feed_ != nullptr) feed_->Publish(event);
}

void Daemon::PeerConnected(uint32_t tunnel, uint32_t) { CheckWaiters(tunnel, false); }

void Daemon::TakeNetworkErrors() {
  for (const uint32_t id : engine_->TunnelIds()) {
    std::vector<Engine::NetworkError> errors;
    for (const ports::UdpError& e : plane_->TakeErrors(id)) {
      errors.push_back({e.destination, e.error});
    }
    engine_->NetworkErrors(id, errors);
  }
}

void Daemon::CheckSuspend() {
  timespec running{};
  clock_gettime(CLOCK_MONOTONIC, &running);  // stands still while suspended, clock_ does not
  const Duration slept = clock_.Now().time_since_epoch() - std::chrono::seconds(running.tv_sec) -
                         std::chrono::nanoseconds(running.tv_nsec);
  if (slept - slept_ > kSuspendNoticed && slept_ >= Duration::zero()) {
    Log(Severity::kNotice, "the machine was suspended: all sessions are made anew");
    engine_->WipeSessions();
  }
  slept_ = slept;
}

void Daemon::Tick() {
  CheckSuspend();
  loop_->Cancel(tick_);
  Instant next = engine_->Tick();
  if (server_ != nullptr && server_->watched()) {
    feed_->LookAtDrops(*engine_);
    next = std::min<Instant>(next, clock_.Now() + 1s);
  }
  tick_ = loop_->At(next, [this] { Tick(); });
}

}  // namespace cipe::engine
