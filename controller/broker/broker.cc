#include "broker/broker.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/status_macros.h"
#include "broker/machine.h"
#include "broker/tunnel_plan.h"
#include "config/config.h"
#include "ipc/memfd.h"
#include "ports/udp_socket.h"

namespace cipe::broker {
namespace {

using std::chrono::seconds;

// A path MTU that ICMP lowered comes back without an event (ip_rt_mtu_expires, 600 s).
constexpr auto kLookAtNarrow = seconds(60);
// How long peers are told for that we stop.
constexpr auto kStopPatience = seconds(1);
constexpr auto kHooksPatience = seconds(90);  // when PreDown or PostDown has commands that run

UniqueFd Duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> Broker::Create(EventLoop& loop, BrokerOptions options,
                                                       UniqueFd control_listener,
                                                       EngineSpawner spawn,
                                                       std::function<void()> on_ready,
                                                       std::optional<Handover> from) {
  CIPE_ASSIGN_OR_RETURN(StateDir state,
                        from.has_value()
                            ? StateDir::Adopt(options.state_dir, std::move(from->state_lock))
                            : StateDir::Open(options.state_dir));
  CIPE_ASSIGN_OR_RETURN(Floors floors, state.LoadFloors());
  CIPE_ASSIGN_OR_RETURN(steering::MapSet maps,
                        from.has_value() ? steering::MapSet::FromFds(std::move(from->maps))
                                         : steering::MapSet::Create());
  CIPE_ASSIGN_OR_RETURN(netlink::Socket socket, netlink::Socket::Open());
  CIPE_ASSIGN_OR_RETURN(netlink::Monitor monitor, netlink::Monitor::Open());
  std::unique_ptr<Broker> broker(new Broker(
      loop, std::move(options), std::move(control_listener), std::move(on_ready), std::move(maps),
      std::move(socket), std::move(monitor), std::move(state), std::move(floors)));
  Broker* b = broker.get();
  b->supervisor_ = std::make_unique<Supervisor>(
      loop, std::move(spawn),
      Supervisor::Hooks{[b](bool takeover) { b->OnEngineStart(takeover); },
                        [b](ipc::Message m) { b->OnMessage(std::move(m)); },
                        [b] { b->OnEngineDeath(); }, b->options_.on_alive});
  b->disowned_ = from.has_value();
  SystemRng rng;
  CIPE_ASSIGN_OR_RETURN(b->node_id_, b->state_.NodeId(rng, ThisMachine()));
  CIPE_ASSIGN_OR_RETURN(b->wanted_, b->state_.LoadWanted());
  CIPE_ASSIGN_OR_RETURN(LastingRoutes lasting, b->state_.LoadRoutes());
  b->routes_ = std::make_unique<RouteBook>(
      &b->socket_, std::move(lasting),
      [b](const LastingRoutes& all) { return b->state_.SaveRoutes(all); });
  b->routes_->ForgetUnwanted(b->wanted_);
  b->routes_->PutBackRejects();
  CIPE_RETURN_IF_ERROR(
      loop.Watch(b->monitor_.fd(), EPOLLIN, [b](uint32_t) { b->OnNetworkChange(); }));
  if (from.has_value()) CIPE_RETURN_IF_ERROR(b->TakeOver(*std::move(from)));
  b->disowned_ = false;
  return broker;
}

Broker::Broker(EventLoop& loop, BrokerOptions options, UniqueFd control_listener,
               std::function<void()> on_ready, steering::MapSet maps, netlink::Socket socket,
               netlink::Monitor monitor, StateDir state, Floors floors)
    : loop_(loop),
      options_(std::move(options)),
      control_listener_(std::move(control_listener)),
      on_ready_(std::move(on_ready)),
      maps_(std::move(maps)),
      socket_(std::move(socket)),
      monitor_(std::move(monitor)),
      state_(std::move(state)),
      floors_(std::move(floors)),
      floor_writer_(std::make_unique<FloorWriter>(
          loop, [this] { return state_.SaveFloors(floors_.ForDisk()); })),
      listeners_(maps_),
      hooks_(loop, options_.hook_units),
      endpoints_(MakeEndpointBook()),
      resolver_(std::make_unique<Resolver>(loop)) {
  SystemRng().Fill(seal_key_.UnsafeMutableBytes());
  const auto tell = [this](ipc::Message m) { Tell(std::move(m)); };
  carriers_ = std::make_unique<CarrierTable>(
      loop_, maps_, tell, [this](ipc::CarrierId carrier) { OnCarrierSettled(carrier); });
  next_hops_ = std::make_unique<NextHops>(&socket_, *carriers_, tell);
  sources_ = std::make_unique<SourceWatch>(&socket_, tell);
  classic_ = std::make_unique<ClassicLinks>(loop, &socket_, options_.links_dir, options_.hook_units,
                                            tell, [this] {
                                              if (!ending_)
                                                EndUnlessNeeded(options_.last_answer_patience);
                                            });
}

Broker::~Broker() {
  if (disowned_) return;
  resolver_.reset();
  endpoints_.reset();
  loop_.Unwatch(monitor_.fd());
  for (const TimerId timer :
       {settle_timer_, calm_timer_, narrow_timer_, stop_timer_, idle_timer_, truce_timer_}) {
    loop_.Cancel(timer);
  }
  for (auto& [name, timer] : remake_timers_) loop_.Cancel(timer);
  for (auto& [id, removal] : removals_) loop_.Cancel(removal.timer);
  // First the engine: its descriptors would keep sockets and keys alive.
  ending_ = true;
  supervisor_.reset();
  for (auto& [id, tunnel] : tunnels_) {
    for (const Identities& who : tunnel->identities) floors_.Release(who);
  }
  floor_writer_->Changed(nullptr).IgnoreError();
  maps_.session_keys().WipeAll().IgnoreError();
  for (const auto& [id, tunnel] : tunnels_) classic_->OnDown(*tunnel, "ciped is stopped");
  tunnels_.clear();
  classic_->Drain();
  hooks_.Drain(kHooksPatience);
  floor_writer_.reset();  // last: the disk may keep us waiting
}

absl::Status Broker::Start() {
  LookAtNarrow();
  return supervisor_->Start();
}

void Broker::LookAtNarrow() {
  narrow_timer_ = loop_.After(kLookAtNarrow, [this] {
    next_hops_->RefreshNarrow();
    LookAtNarrow();
  });
}

void Broker::Stop(std::function<void()> stopped) {
  stopped_ = std::move(stopped);
  if (tunnels_.empty()) return stopped_();
  std::vector<ipc::TunnelId> ids;
  for (const auto& [id, tunnel] : tunnels_) ids.push_back(id);
  for (const ipc::TunnelId id : ids) Lower(id, 0);
  if (!supervisor_->running()) OnEngineDeath();
  if (tunnels_.empty() && !hooks_.busy()) return;  // stopped_ was called
  stop_timer_ = loop_.After(hooks_.busy() ? kHooksPatience : kStopPatience, stopped_);
}

void Broker::Hurry() { classic_->Hurry(); }

void Broker::Tell(ipc::Message message) {
  if (supervisor_ == nullptr || !supervisor_->running()) return;  // the next engine is told all
  const absl::Status status = supervisor_->Send(std::move(message));
  if (!status.ok() && status.code() != absl::StatusCode::kUnavailable) {
    Log(Severity::kError, "message to the engine: ", status.message());
  }
}

void Broker::Answer(uint64_t request, const absl::Status& status, ipc::TunnelId tunnel) {
  if (request == 0) return;
  Tell(ipc::Reply{request, status, tunnel, EndsNow()});
}

void Broker::OnEngineStart(bool takeover) {
  Tell(MakeHello(takeover));
  if (takeover) OfferCarriers();
  for (const auto& [id, tunnel] : tunnels_) Tell(Describe(*tunnel, takeover));
  classic_->OnEngineStart();
}

ipc::Hello Broker::MakeHello(bool takeover) {
  ipc::Hello hello;
  hello.takeover = takeover;
  hello.starter_uid = options_.starter_uid;
  hello.version = options_.version;
  hello.config_dir = options_.config_dir;
  hello.state_dir = options_.state_dir;
  hello.node_id = node_id_;
  for (const int fd : maps_.Fds()) hello.maps.push_back(Duplicate(fd));
  hello.control_listener = Duplicate(control_listener_.get());
  auto key = ipc::MemfdFromOctets("cipe-seal-key", seal_key_.UnsafeBytes());
  if (key.ok()) hello.seal_key = *std::move(key);
  ports::RouteProbe probe = ports::RouteProbe::Open();
  hello.route_probe4 = std::move(probe.v4);
  hello.route_probe6 = std::move(probe.v6);
  return hello;
}

void Broker::OnEngineDeath() {
  ++engines_;
  carriers_->OnEngineDeath();
  next_hops_->ForgetAll();  // the next engine asks for what it needs
  sources_->ForgetAll();
  ForgetReloads();
  // Who was going down is down now; the next engine must not see its sessions.
  while (!removals_.empty()) FinishRemoval(removals_.begin()->first);
}

void Broker::OnMessage(ipc::Message message) {
  if (ending_ && !std::holds_alternative<ipc::FloorUpdate>(message)) return;
  std::visit([this](const auto& m) { Handle(m); }, message);
}

void Broker::Handle(const ipc::Ready&) {
  if (std::exchange(ready_, true)) return;
  BringBackWanted();
  if (on_ready_) on_ready_();
  EndUnlessNeeded(options_.first_request_patience);
}

Broker::Removal& Broker::BeginRemoval(ipc::TunnelId id) {
  const auto [it, first] = removals_.try_emplace(id);
  if (!first) return it->second;
  it->second.timer = loop_.After(options_.removal_patience, [this, id] {
    supervisor_->Kill(absl::StrCat("it does not let go of tunnel ", id));
  });
  Tell(ipc::TunnelRemove{id});
  return it->second;
}

void Broker::Handle(const ipc::TunnelRemoved& m) {
  if (removals_.contains(m.tunnel)) return FinishRemoval(m.tunnel);
  supervisor_->Kill("it removed a tunnel that nobody took down");
}

void Broker::Handle(const ipc::NextHopWanted& m) {
  Tunnel* tunnel = ById(m.tunnel);
  if (tunnel == nullptr || !m.endpoint.is_set()) return;
  next_hops_->Want(m.tunnel, tunnel->fwmark(), m.endpoint);
}

void Broker::Handle(const ipc::EndpointFailed& m) { endpoints_->Failed(m.peer, m.endpoint); }

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

absl::StatusOr<ipc::TunnelId> Broker::BringUp(config::Tunnel config) {
  if (stopped_) return absl::UnavailableError("ciped is stopping");
  const std::string name = config.name;
  std::vector<const config::Tunnel*> all = {&config};
  for (const auto& [id, tunnel] : tunnels_) all.push_back(&tunnel->config());
  CIPE_RETURN_IF_ERROR(config::CheckAcross(absl::MakeConstSpan(all)));
  CIPE_ASSIGN_OR_RETURN(
      std::unique_ptr<Tunnel> tunnel,
      Tunnel::Up(next_tunnel_, std::move(config), &socket_, carriers_.get(), routes_.get()));
  CIPE_RETURN_IF_ERROR(SetUpPeers(tunnel.get()));
  const ipc::TunnelId id = next_tunnel_++;
  tunnel->LogRung();
  Tunnel* t = tunnel.get();
  classic_->OpenLog(t);
  tunnels_[id] = std::move(tunnel);
  SyncListeners();
  for (size_t i = 0; i < t->peers.size(); ++i) {
    t->peers[i].endpoint = endpoints_->Add(id, t->peers[i].peer, t->config().peers[i].endpoints);
  }
  Tell(Describe(*t, /*takeover=*/false));
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
                   " has now; `cipectl reload ", name, "` makes it that"));
}

absl::Status Broker::SetUpPeers(Tunnel* tunnel) {
  const config::Tunnel& config = tunnel->config();
  CIPE_ASSIGN_OR_RETURN(tunnel->identities, IdentitiesOf(config));
  for (size_t i = 0; i < config.peers.size(); ++i) {
    tunnel->peers.push_back(SetUpPeer(config, tunnel->identities[i]));
  }
  tunnel->IndexPeers();
  for (const Identities& who : tunnel->identities) floors_.Use(who);
  return absl::OkStatus();
}

ipc::PeerSetup Broker::SetUpPeer(const config::Tunnel& config, const Identities& who) {
  ipc::PeerSetup setup;
  ipc::PeerId& id = peer_ids_[absl::StrCat(config.name, "/", who.peer)];
  if (id == 0) id = next_peer_++;
  setup.peer = id;
  return setup;
}

void Broker::FinishRemoval(ipc::TunnelId id) {
  const auto removal = removals_.extract(id);
  const auto tunnel = tunnels_.extract(id);
  if (tunnel.empty()) return;
  if (!removal.empty()) loop_.Cancel(removal.mapped().timer);
  next_hops_->Forget(id);
  sources_->Forget(id);
  ReleaseAllLeaving(id);
  for (const ipc::PeerSetup& peer : tunnel.mapped()->peers) {
    endpoints_->Remove(peer.peer);
    maps_.peers().Delete(peer.peer).IgnoreError();
  }
  // Its engine is done with it or dead: what that sent last has been read.
  for (const Identities& who : tunnel.mapped()->identities) floors_.Release(who);
  floor_writer_->Changed(nullptr).IgnoreError();
  WipeSessions(id);
  SyncListeners();
  classic_->OnDown(*tunnel.mapped(), stopped_ ? "ciped is stopped" : "taken down");
  // What is wanted still comes up again: by the next start, or when it is remade.
  if (!IsWanted(tunnel.mapped()->config().name)) classic_->Forget(tunnel.mapped()->config().name);
  Log(Severity::kNotice, "tunnel ", tunnel.mapped()->config().name, " is down");
  const auto config = std::make_shared<const config::Tunnel>(tunnel.mapped()->config().Clone());
  tunnel.mapped().reset();
  RunSettled(id);  // who waited finds no tunnel
  if (!IsWanted(config->name)) routes_->Forget(config->name);
  const Removal ended = removal.empty() ? Removal() : removal.mapped();
  hooks_.Run(*config, TunnelHooks::Phase::kPostDown, 0, [=, this](const absl::Status&) {
    EndUnlessNeeded(options_.last_answer_patience);
    EndReloadWhenTaken();
    for (const uint64_t request : ended.requests) Answer(request, absl::OkStatus(), id);
    if (ended.remake) Remake(config);
    if (!stopped_ || !tunnels_.empty() || hooks_.busy()) return;
    loop_.Cancel(stop_timer_);
    stopped_();
  });
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

bool Broker::EndsNow() const {
  return options_.on_idle != nullptr && tunnels_.empty() && wanted_.empty() && raising_.empty() &&
         !hooks_.busy() && !classic_->Busy();
}

void Broker::EndUnlessNeeded(Duration patience) {
  loop_.Cancel(idle_timer_);
  idle_timer_ = TimerId::kNone;
  if (!EndsNow()) return;
  idle_timer_ = loop_.After(patience, [this] {
    idle_timer_ = TimerId::kNone;
    if (EndsNow()) options_.on_idle();
  });
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

}  // namespace cipe::broker
