#include "broker/broker.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/status_macros.h"
#include "config/config.h"
#include "ipc/memfd.h"
#include "netlink/route.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kResolveAgain = seconds(10);
// Bursts of netlink events (a link going up brings dozens) are looked at once.
constexpr auto kSettle = milliseconds(100);
// For scripts that say goodbye while ciped stops.
constexpr auto kLastScripts = seconds(5);

UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> Broker::Create(EventLoop& loop, BrokerOptions options,
                                                       UniqueFd control_listener,
                                                       EngineSpawner spawn,
                                                       std::function<void()> on_ready) {
  CIPE_ASSIGN_OR_RETURN(StateDir state, StateDir::Open(options.state_dir));
  CIPE_ASSIGN_OR_RETURN(steering::MapSet maps, steering::MapSet::Create());
  CIPE_ASSIGN_OR_RETURN(netlink::Socket socket, netlink::Socket::Open());
  CIPE_ASSIGN_OR_RETURN(netlink::Monitor monitor, netlink::Monitor::Open());
  std::unique_ptr<Broker> broker(new Broker(loop, std::move(options), std::move(control_listener),
                                            std::move(on_ready), std::move(maps), std::move(socket),
                                            std::move(monitor), std::move(state)));
  Broker* b = broker.get();
  b->supervisor_ = std::make_unique<Supervisor>(
      loop, std::move(spawn),
      Supervisor::Hooks{[b](bool takeover) { b->OnEngineStart(takeover); },
                        [b](ipc::Message m) { b->OnMessage(std::move(m)); },
                        [b] { b->OnEngineDeath(); }});
  SystemRng rng;
  CIPE_ASSIGN_OR_RETURN(b->node_id_, b->state_.NodeId(rng));
  CIPE_ASSIGN_OR_RETURN(b->wanted_, b->state_.LoadWanted());
  CIPE_RETURN_IF_ERROR(
      loop.Watch(b->monitor_.fd(), EPOLLIN, [b](uint32_t) { b->OnNetworkChange(); }));
  return broker;
}

Broker::Broker(EventLoop& loop, BrokerOptions options, UniqueFd control_listener,
               std::function<void()> on_ready, steering::MapSet maps, netlink::Socket socket,
               netlink::Monitor monitor, StateDir state)
    : loop_(loop),
      options_(std::move(options)),
      control_listener_(std::move(control_listener)),
      on_ready_(std::move(on_ready)),
      maps_(std::move(maps)),
      socket_(std::move(socket)),
      monitor_(std::move(monitor)),
      state_(std::move(state)),
      floor_writer_(std::make_unique<FloorWriter>(
          loop,
          [state = state_](const std::string& tunnel, const Floors& floors) {
            return state.SaveFloors(tunnel, floors);
          })),
      listeners_(maps_),
      resolver_(std::make_unique<Resolver>(loop)) {
  SystemRng().Fill(seal_key_.UnsafeMutableBytes());
  const auto tell = [this](ipc::Message m) { Tell(std::move(m)); };
  carriers_ = std::make_unique<CarrierTable>(maps_, tell);
  next_hops_ = std::make_unique<NextHops>(&socket_, *carriers_, tell);
  classic_ = std::make_unique<ClassicLinks>(loop, &socket_, options_.links_dir, tell);
}

Broker::~Broker() {
  resolver_.reset();
  loop_.Unwatch(monitor_.fd());
  loop_.Cancel(settle_timer_);
  for (auto& [id, removal] : removals_) loop_.Cancel(removal.timer);
  for (auto& [peer, timer] : resolving_) loop_.Cancel(timer);
  // First the engine: its descriptors would keep sockets and keys alive.
  supervisor_.reset();
  floor_writer_.reset();
  maps_.session_keys().WipeAll().IgnoreError();
  for (const auto& [id, tunnel] : tunnels_) classic_->OnDown(*tunnel, "ciped is stopped");
  tunnels_.clear();
  classic_->Drain(kLastScripts);
}

absl::Status Broker::Start() { return supervisor_->Start(); }

void Broker::Tell(ipc::Message message) {
  if (supervisor_ == nullptr || !supervisor_->running()) return;  // the next engine is told all
  const absl::Status status = supervisor_->Send(std::move(message));
  if (!status.ok() && status.code() != absl::StatusCode::kUnavailable) {
    Log(Severity::kError, "message to the engine: ", status.message());
  }
}

void Broker::Answer(uint64_t request, const absl::Status& status, ipc::TunnelId tunnel) {
  if (request == 0) return;
  Tell(ipc::Reply{request, status, tunnel});
}

void Broker::OnEngineStart(bool takeover) {
  Tell(MakeHello(takeover));
  if (takeover) carriers_->Reannounce();
  for (const auto& [id, tunnel] : tunnels_) Tell(tunnel->Describe(takeover));
  classic_->OnEngineStart();
}

ipc::Hello Broker::MakeHello(bool takeover) {
  ipc::Hello hello;
  hello.takeover = takeover;
  hello.starter_uid = options_.starter_uid;
  hello.version = options_.version;
  hello.node_id = node_id_;
  for (const int fd : maps_.Fds()) hello.maps.push_back(Duplicate(fd));
  hello.control_listener = Duplicate(control_listener_.get());
  auto key = ipc::MemfdFromOctets("cipe-seal-key", seal_key_.UnsafeBytes());
  if (key.ok()) hello.seal_key = *std::move(key);
  return hello;
}

void Broker::OnEngineDeath() {
  ++engines_;
  next_hops_->ForgetAll();  // the next engine asks for what it needs
  // Who was going down is down now; the next engine must not see its sessions.
  while (!removals_.empty()) FinishRemoval(removals_.begin()->first);
}

void Broker::OnMessage(ipc::Message message) {
  std::visit([this](const auto& m) { Handle(m); }, message);
}

void Broker::Handle(const ipc::Ready&) {
  if (std::exchange(ready_, true)) return;
  BringBackWanted();
  if (on_ready_) on_ready_();
}

void Broker::Handle(const ipc::UpRequest& m) {
  const absl::StatusOr<ipc::TunnelId> id = Up(m.name);
  if (!id.ok()) {
    Log(Severity::kWarning, "up ", m.name, ": ", id.status().message());
    return Answer(m.request, id.status());
  }
  if (std::find(wanted_.begin(), wanted_.end(), m.name) == wanted_.end()) {
    wanted_.push_back(m.name);
  }
  const absl::Status saved = SaveWanted();
  if (!saved.ok()) Log(Severity::kError, saved.message());
  Answer(m.request, absl::OkStatus(), *id);
}

void Broker::Handle(const ipc::DownRequest& m) {
  Tunnel* tunnel = ByName(m.name);
  const size_t wanted = std::erase(wanted_, m.name);
  const absl::Status saved = wanted > 0 ? SaveWanted() : absl::OkStatus();
  if (!saved.ok()) Log(Severity::kError, saved.message());
  if (tunnel == nullptr) {
    if (wanted > 0) classic_->Forget(m.name);
    return Answer(m.request,
                  wanted > 0 ? absl::OkStatus()
                             : absl::NotFoundError(absl::StrCat("tunnel ", m.name, " is not up")));
  }
  const ipc::TunnelId id = tunnel->id();
  const bool first = !removals_.contains(id);
  Removal& removal = removals_[id];
  removal.requests.push_back(m.request);
  if (!first) return;
  removal.timer = loop_.After(options_.removal_patience, [this, id] {
    supervisor_->Kill(absl::StrCat("it does not let go of tunnel ", id));
  });
  Tell(ipc::TunnelRemove{id});
}

void Broker::Handle(const ipc::TunnelRemoved& m) {
  if (removals_.contains(m.tunnel)) return FinishRemoval(m.tunnel);
  supervisor_->Kill("it removed a tunnel that nobody took down");
}

void Broker::Handle(const ipc::FloorUpdate& m) {
  Tunnel* tunnel = ById(m.tunnel);
  const size_t index = tunnel == nullptr ? Tunnel::npos : tunnel->IndexOf(m.peer);
  if (index == Tunnel::npos) {
    return Answer(m.request, absl::NotFoundError("no such tunnel or peer"));
  }
  tunnel->peers[index].floor = m.floor;
  FloorWriter::Done done;
  if (m.request != 0) {
    done = [this, request = m.request, id = m.tunnel, engine = engines_](absl::Status status) {
      if (engine == engines_) Answer(request, status, id);
    };
  }
  const absl::Status status = floor_writer_->Update(
      tunnel->config().name, PeerIdentity(tunnel->config().peers[index]), m.floor, std::move(done));
  if (!status.ok()) Answer(m.request, status, m.tunnel);
}

absl::StatusOr<Floors> Broker::LoadFloors(const std::string& tunnel) {
  if (std::optional<Floors> floors = floor_writer_->Unwritten(tunnel)) return *std::move(floors);
  CIPE_ASSIGN_OR_RETURN(Floors floors, state_.LoadFloors(tunnel));
  // A peer that is not configured now keeps its floor for when it is again.
  floor_writer_->Start(tunnel, floors);
  return floors;
}

void Broker::Handle(const ipc::NextHopWanted& m) {
  Tunnel* tunnel = ById(m.tunnel);
  if (tunnel == nullptr || !m.endpoint.is_set()) return;
  next_hops_->Want(m.tunnel, tunnel->config().fwmark, m.endpoint);
}

void Broker::Handle(const ipc::ResolveWanted& m) { ResolvePeer(m.tunnel, m.peer); }

void Broker::Handle(const ipc::SmallestMtu& m) {
  Tunnel* tunnel = ById(m.tunnel);
  if (tunnel == nullptr) return;
  const absl::Status status = tunnel->FitMtu(m.mtu);
  if (!status.ok()) {
    Log(Severity::kError, "MTU of tunnel ", tunnel->config().name, ": ", status.message());
  }
}

void Broker::Handle(const ipc::ClassicPeer& m) {
  if (Tunnel* tunnel = ById(m.tunnel); tunnel != nullptr) classic_->OnPeer(tunnel, m);
}

void Broker::Handle(const ipc::ClassicOver& m) {
  Tunnel* tunnel = ById(m.tunnel);
  if (tunnel == nullptr || !tunnel->config().classic.has_value()) return;
  const std::string name = tunnel->config().name;
  Log(Severity::kError, "tunnel ", name, " ends: ", m.reason);
  classic_->OnDown(*tunnel, m.reason);
  Handle(ipc::DownRequest{0, name});
}

absl::StatusOr<ipc::TunnelId> Broker::Up(const std::string& name) {
  CIPE_RETURN_IF_ERROR(config::CheckTunnelName(name));
  if (Tunnel* tunnel = ByName(name); tunnel != nullptr) {
    if (removals_.contains(tunnel->id())) {
      return absl::UnavailableError(absl::StrCat("tunnel ", name, " is just going down"));
    }
    CIPE_RETURN_IF_ERROR(UpAlready(*tunnel));
    return tunnel->id();
  }
  CIPE_ASSIGN_OR_RETURN(config::Tunnel config, classic_->Load(options_.config_dir, name));
  std::vector<const config::Tunnel*> all = {&config};
  for (const auto& [id, tunnel] : tunnels_) all.push_back(&tunnel->config());
  CIPE_RETURN_IF_ERROR(config::CheckAcross(absl::MakeConstSpan(all)));
  CIPE_ASSIGN_OR_RETURN(std::unique_ptr<Tunnel> tunnel,
                        Tunnel::Up(next_tunnel_, std::move(config), &socket_, carriers_.get()));
  CIPE_RETURN_IF_ERROR(SetUpPeers(tunnel.get()));
  const ipc::TunnelId id = next_tunnel_++;
  const DatapathChoice& datapath = tunnel->datapath();
  Log(datapath.degraded ? Severity::kWarning : Severity::kNotice, "tunnel ", name,
      " is up on rung ", datapath.rung, datapath.reason.empty() ? "" : ": ", datapath.reason);
  Tunnel* t = tunnel.get();
  classic_->OpenLog(t);
  tunnels_[id] = std::move(tunnel);
  SyncListeners();
  Tell(t->Describe(/*takeover=*/false));
  for (const ipc::PeerSetup& peer : t->peers) {
    if (!peer.endpoint.is_set()) ResolvePeer(id, peer.peer);
  }
  classic_->OnUp(t);
  return id;
}

// Whoever says `up` wants what the file says now: that it is up is an answer only if it is that.
absl::Status Broker::UpAlready(const Tunnel& tunnel) const {
  const std::string& name = tunnel.config().name;
  const absl::StatusOr<config::Tunnel> now = classic_->Load(options_.config_dir, name);
  if (!now.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("tunnel ", name,
                     " is up, with the configuration it was started with; its file "
                     "cannot be used now: ",
                     now.status().message()));
  }
  if (*now == tunnel.config()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("tunnel ", name, " is up with another configuration than ", now->path,
                   " has now; `cipectl down ", name, "` first"));
}

absl::Status Broker::SetUpPeers(Tunnel* tunnel) {
  const config::Tunnel& config = tunnel->config();
  CIPE_ASSIGN_OR_RETURN(const Floors floors, LoadFloors(config.name));
  for (const config::Peer& peer : config.peers) {
    const std::string identity = PeerIdentity(peer);
    ipc::PeerSetup setup;
    ipc::PeerId& id = peer_ids_[absl::StrCat(config.name, "/", identity)];
    if (id == 0) id = next_peer_++;
    setup.peer = id;
    const auto floor = floors.find(identity);
    if (floor != floors.end()) setup.floor = floor->second;
    if (peer.endpoint.has_value()) {
      const auto endpoint = ParseNumericEndpoint(*peer.endpoint);
      if (endpoint.ok()) setup.endpoint = *endpoint;
    }
    tunnel->peers.push_back(setup);
  }
  return absl::OkStatus();
}

void Broker::FinishRemoval(ipc::TunnelId id) {
  const auto removal = removals_.extract(id);
  const auto tunnel = tunnels_.extract(id);
  if (tunnel.empty()) return;
  if (!removal.empty()) loop_.Cancel(removal.mapped().timer);
  next_hops_->Forget(id);
  for (const ipc::PeerSetup& peer : tunnel.mapped()->peers) {
    const auto resolving = resolving_.extract(peer.peer);
    if (!resolving.empty()) loop_.Cancel(resolving.mapped());
    maps_.peers().Delete(peer.peer).IgnoreError();
  }
  WipeSessions(id);
  SyncListeners();
  classic_->OnDown(*tunnel.mapped(), "taken down");
  if (!removal.empty()) classic_->Forget(tunnel.mapped()->config().name);
  Log(Severity::kNotice, "tunnel ", tunnel.mapped()->config().name, " is down");
  tunnel.mapped().reset();
  if (removal.empty()) return;
  for (const uint64_t request : removal.mapped().requests) {
    Answer(request, absl::OkStatus(), id);
  }
}

// The engine did this already, unless it died over it.
void Broker::WipeSessions(ipc::TunnelId id) {
  const absl::Status status =
      maps_.sessions().ForEach([&](const uint32_t& session, const cipe_session& value) {
        if (value.tunnel != id) return;
        maps_.session_keys().Delete(session).IgnoreError();
        maps_.sessions().Delete(session).IgnoreError();
      });
  if (!status.ok()) Log(Severity::kError, "sessions of tunnel ", id, ": ", status.message());
}

void Broker::SyncListeners() {
  std::vector<Listener> wanted;
  for (const auto& [id, tunnel] : tunnels_) {
    Listener& listener = wanted.emplace_back();
    listener.tunnel = id;
    listener.port = tunnel->listen_port();
    listener.vlans = tunnel->datapath().vlans;
    if (listener.vlans.empty()) listener.vlans = {0};
    listener.steer = tunnel->datapath().rung < 3;
    listener.tunnel_ifindex = tunnel->ifindex();
    listener.protocol = static_cast<uint8_t>(tunnel->config().protocol);
  }
  const absl::Status status = listeners_.Sync(&socket_, wanted);
  if (!status.ok()) Log(Severity::kError, "listeners: ", status.message());
}

absl::Status Broker::SaveWanted() { return state_.SaveWanted(wanted_); }

void Broker::BringBackWanted() {
  for (const std::string& name : wanted_) {
    const auto id = Up(name);
    if (!id.ok())
      Log(Severity::kError, "cannot bring ", name, " up again: ", id.status().message());
  }
}

Tunnel* Broker::ByName(const std::string& name) {
  for (const auto& [id, tunnel] : tunnels_) {
    if (tunnel->config().name == name) return tunnel.get();
  }
  return nullptr;
}

Tunnel* Broker::ById(ipc::TunnelId id) {
  const auto found = tunnels_.find(id);
  return found == tunnels_.end() ? nullptr : found->second.get();
}

void Broker::ResolvePeer(ipc::TunnelId id, ipc::PeerId peer) {
  Tunnel* tunnel = ById(id);
  const size_t index = tunnel == nullptr ? Tunnel::npos : tunnel->IndexOf(peer);
  if (index == Tunnel::npos) return;
  const auto& spec = tunnel->config().peers[index].endpoint;
  // One question per peer at a time, however often the engine asks.
  if (!spec.has_value() || resolving_.contains(peer)) return;
  resolving_[peer] = TimerId::kNone;
  resolver_->Resolve(
      *spec, [this, id, peer](Resolved answer) { OnResolved(id, peer, std::move(answer)); });
}

void Broker::OnResolved(ipc::TunnelId id, ipc::PeerId peer, Resolved answer) {
  Tunnel* tunnel = ById(id);
  const size_t index = tunnel == nullptr ? Tunnel::npos : tunnel->IndexOf(peer);
  if (index == Tunnel::npos) return;
  if (!answer.ok()) {
    Log(Severity::kWarning, "tunnel ", tunnel->config().name, ", peer ",
        tunnel->config().peers[index].name, ": ", answer.status().message(),
        "; asked again in 10 s");
    resolving_[peer] = loop_.After(kResolveAgain, [this, id, peer] {
      resolving_.erase(peer);
      ResolvePeer(id, peer);
    });
    return;
  }
  resolving_.erase(peer);
  if (tunnel->config().classic.has_value()) {
    std::erase_if(*answer, [](const Endpoint& e) { return !e.address.is_v4(); });
    if (answer->empty()) {
      Log(Severity::kError, "tunnel ", tunnel->config().name,
          ": the peer has no IPv4 address, and protocol 3 knows no other");
      return;
    }
  }
  const auto reachable = std::find_if(answer->begin(), answer->end(), [&](const Endpoint& e) {
    return netlink::LookupRoute(&socket_, e.address, tunnel->config().fwmark,
                                static_cast<int>(e.scope_id))
        .ok();
  });
  tunnel->peers[index].endpoint = reachable == answer->end() ? answer->front() : *reachable;
  Tell(ipc::EndpointResolved{id, peer, tunnel->peers[index].endpoint});
}

void Broker::OnNetworkChange() {
  const absl::Status status = monitor_.Drain([this](const netlink::Event& event) {
    if (const auto* link = std::get_if<netlink::LinkEvent>(&event); link && !link->removed) {
      carriers_->OnLink(link->link);
    }
  });
  if (!status.ok()) {
    Log(Severity::kError, "netlink monitor: ", status.message());
    loop_.Unwatch(monitor_.fd());
  }
  if (settle_timer_ != TimerId::kNone) return;
  settle_timer_ = loop_.After(kSettle, [this] {
    settle_timer_ = TimerId::kNone;
    SyncListeners();
    next_hops_->Refresh();
  });
}

}  // namespace cipe::broker
