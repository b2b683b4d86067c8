#include "engine/engine.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace cipe::engine {

using dataplane::Event;
using dataplane::EventType;
using session::Session;
using session::Slot;

Engine::Engine(const EngineOptions& options, const Clock& clock, Rng& rng, World& world,
               SessionStore& store)
    : options_(options),
      clock_(clock),
      rng_(rng),
      world_(world),
      store_(store),
      events_(options.event_capacity, options.event_wake),
      classic_(clock, rng, world),
      cookies_(rng, clock.Now()) {}

Engine::~Engine() {
  for (const uint32_t id : TunnelIds()) RemoveTunnel(id);
}

Tunnel* Engine::FindTunnel(uint32_t tunnel) {
  const auto it = tunnels_.find(tunnel);
  return it == tunnels_.end() ? nullptr : it->second.get();
}

Tunnel* Engine::FindTunnel(absl::string_view name) {
  for (const auto& [id, tunnel] : tunnels_) {
    if (tunnel->config.name == name) return tunnel.get();
  }
  return nullptr;
}

Peer* Engine::FindPeer(uint32_t tunnel, uint32_t peer) {
  const auto it = peers_.find(peer);
  return it == peers_.end() || it->second->tunnel->id() != tunnel ? nullptr : it->second;
}

Peer* Engine::FindPeer(const Tunnel& tunnel, absl::string_view name_or_key) {
  const auto named = [&](const std::unique_ptr<Peer>& p) { return p->config.name == name_or_key; };
  const auto it = std::find_if(tunnel.peers.begin(), tunnel.peers.end(), named);
  if (it != tunnel.peers.end()) return it->get();
  handshake::PublicKeyOctets key;
  std::string octets;
  if (!absl::Base64Unescape(name_or_key, &octets) || octets.size() != key.size()) return nullptr;
  std::copy(octets.begin(), octets.end(), key.begin());
  const auto known = tunnel.by_key.find(key);
  return known == tunnel.by_key.end() ? nullptr : known->second;
}

Session* Engine::FindSession(const Peer& peer, uint32_t local_index) {
  for (Session* s : {peer.current, peer.next, peer.previous}) {
    if (s != nullptr && s->setup().local_index == local_index) return s;
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<Peer>> Engine::MakePeer(Tunnel& tunnel,
                                                       const handshake::Identity* identity,
                                                       config::Peer config,
                                                       const ipc::PeerSetup& setup) {
  if (peers_.contains(setup.peer)) {
    return absl::AlreadyExistsError(absl::StrCat("peer id ", setup.peer, " is in use"));
  }
  auto owned = std::make_unique<Peer>();
  Peer& peer = *owned;
  peer.tunnel = &tunnel;
  peer.config = std::move(config);
  peer.path.peer = setup.peer;
  peer.path.tunnel = tunnel.id();
  peer.configured = setup.endpoint;
  TakeFromBook(peer);
  if (tunnel.config.classic.has_value()) {
    // Its one key is the tunnel's: ClassicPeers. No time stamps either, so no sender.
  } else if (peer.config.auth == config::Auth::kSharedKey) {
    CIPE_ASSIGN_OR_RETURN(peer.shared,
                          handshake::SharedKeyIdentity::Create(*peer.config.shared_key));
    peer.sender = senders_.Of(peer.shared->key_id());
  } else {
    if (identity == nullptr) {
      return absl::InternalError("a peer with a public key needs a private key of ours");
    }
    peer.sender = senders_.Of(identity->public_key());
  }
  if (peer.sender != nullptr) StartStamps(peer, setup.floor);
  return owned;
}

void Engine::Enrol(Tunnel& tunnel, Peer& peer) {
  peers_[peer.id()] = &peer;
  if (peer.shared.has_value()) {
    tunnel.by_key_id[peer.shared->key_id()] = &peer;
  } else if (!ClassicPeers::Is(tunnel)) {
    tunnel.by_key[peer.config.public_key] = &peer;
  }
  Wake(peer);
}

void Engine::Dismiss(Peer& peer) {
  // The broker lets go of the reservation now, and so must we, however long workers take.
  if (peer.sender != nullptr) peer.sender->Refused(peer.id());
  peer.stamps = nullptr;
  peer.sender.reset();
  due_.Remove(peer);
  peers_.erase(peer.id());
  store_.ErasePeer(peer.id());
}

void Engine::StartStamps(Peer& peer, const ipc::Floor& floor) {
  using protocol::Tai64n;
  peer.sender->Start(Tai64n::FromSpan(floor.sent), Tai64n::FromSpan(floor.sent_reserved));
  peer.stamps = peer.sender->PairWith(peer.config.public_key);
  // Another tunnel may have the same two ends, and its peer's stamps then count here too.
  peer.stamps->received = std::max(peer.stamps->received, Tai64n::FromSpan(floor.received));
}

absl::StatusOr<std::unique_ptr<dataplane::PeerMap>> Engine::MakePeerMap(
    absl::Span<Peer* const> peers, ConfigOf config_of) {
  auto map = std::make_unique<dataplane::PeerMap>();
  for (Peer* peer : peers) {
    const auto handle = static_cast<uint32_t>(map->peers.size());
    for (const IpPrefix& prefix : config_of(*peer).allowed_ips) {
      CIPE_RETURN_IF_ERROR(map->allowed_ips.Insert(
          prefix, handle, [&](uint32_t other) { return config_of(*peers[other]).name; }));
    }
    map->peers.push_back(&peer->path);
  }
  map->allowed_ips.ShrinkToFit();
  return map;
}

absl::Status Engine::FillTunnel(Tunnel& tunnel, ipc::TunnelAdd& add) {
  tunnel.config = std::move(add.config);
  tunnel.mtu = add.mtu;
  tunnel.least_mtu = config::LeastMtu(tunnel.config);
  tunnel.listen_port = add.listen_port;
  tunnel.datapath = std::move(add.datapath);
  tunnel.path.tunnel = add.tunnel;
  tunnel.path.listen_port = add.listen_port;
  tunnel.path.uso = add.uso;
  SetPathOptions(tunnel);
  if (tunnel.config.private_key.has_value()) {
    CIPE_ASSIGN_OR_RETURN(handshake::Identity identity,
                          handshake::Identity::Create(*tunnel.config.private_key));
    tunnel.identity = std::make_unique<handshake::Identity>(std::move(identity));
  }
  tunnel.keys =
      std::make_unique<handshake::ListenerKeys>(tunnel.config.suite, tunnel.identity.get());
  if (tunnel.config.peers.size() != add.peers.size()) {
    return absl::InternalError("as many peer setups as peers are needed");
  }
  std::vector<Peer*> peers;
  for (size_t i = 0; i < add.peers.size(); ++i) {
    CIPE_ASSIGN_OR_RETURN(
        std::unique_ptr<Peer> peer,
        MakePeer(tunnel, tunnel.identity.get(), std::move(tunnel.config.peers[i]), add.peers[i]));
    if (peer->shared.has_value()) CIPE_RETURN_IF_ERROR(tunnel.keys->AddSharedKey(&*peer->shared));
    peers.push_back(peer.get());
    tunnel.peers.push_back(std::move(peer));
    Enrol(tunnel, *peers.back());
  }
  std::vector<config::Peer>().swap(tunnel.config.peers);
  if (tunnel.config.classic.has_value()) CIPE_RETURN_IF_ERROR(classic_.Fill(tunnel));
  CIPE_ASSIGN_OR_RETURN(
      tunnel.peer_map,
      MakePeerMap(peers, [](const Peer& peer) -> const config::Peer& { return peer.config; }));
  tunnel.path.peer_map.store(tunnel.peer_map.get(), std::memory_order_release);
  return absl::OkStatus();
}

absl::Status Engine::AddTunnel(ipc::TunnelAdd& add) {
  auto& slot = tunnels_[add.tunnel];
  if (slot != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("tunnel id ", add.tunnel, " is in use"));
  }
  slot = std::make_unique<Tunnel>();
  const uint32_t id = add.tunnel;
  slot->path.tunnel = id;
  slot->unreported = !add.takeover;
  if (absl::Status status = FillTunnel(*slot, add); !status.ok()) {
    RemoveTunnel(id);
    return status;
  }
  if (add.takeover) TakeOver(*slot);
  for (const auto& peer : slot->peers) SavePeer(*peer);
  return absl::OkStatus();
}

void Engine::StartTunnel(uint32_t id) {
  Tunnel* tunnel = FindTunnel(id);
  if (tunnel == nullptr) return;
  ReportRung(*tunnel);
  if (tunnel->unreported) return;  // DatapathChanged follows
  if (ClassicPeers::Is(*tunnel)) return classic_.Start(*tunnel);
  for (const auto& peer : tunnel->peers) {
    if (peer->current == nullptr && peer->configured.is_set()) StartLater(*peer);
  }
}

void Engine::SetListenPort(uint32_t id, uint16_t port) {
  Tunnel* tunnel = FindTunnel(id);
  if (tunnel == nullptr) return;
  tunnel->listen_port = port;
  tunnel->path.listen_port = port;
}

void Engine::StopTunnel(uint32_t id) {
  Tunnel* tunnel = FindTunnel(id);
  if (tunnel == nullptr) return;
  if (ClassicPeers::Is(*tunnel)) classic_.Stop(*tunnel);
  for (const auto& peer : tunnel->peers) {
    AbandonAttempt(*peer);
    RetireAll(*peer);
  }
  tunnel->path.peer_map.store(nullptr, std::memory_order_release);
}

void Engine::RemoveTunnel(uint32_t id) {
  StopTunnel(id);
  const auto it = tunnels_.find(id);
  if (it == tunnels_.end()) return;
  for (const auto& peer : it->second->peers) Dismiss(*peer);
  // Retired sessions point at peers: both go when every worker has passed.
  quiescent_.Retire([tunnel = std::shared_ptr<Tunnel>(std::move(it->second))] {});
  tunnels_.erase(it);
  quiescent_.Collect();
}

void Engine::DatapathChanged(ipc::DatapathChanged& changed) {
  Tunnel* tunnel = FindTunnel(changed.tunnel);
  if (tunnel == nullptr) return;
  tunnel->datapath = std::move(changed.datapath);
  tunnel->mtu = changed.mtu;
  if (!ClassicPeers::Is(*tunnel)) {
    for (const auto& peer : tunnel->peers) StartProber(*peer, false);
  }
  if (tunnel->unreported) return StartTunnel(changed.tunnel);
  ReportRung(*tunnel);
}

// Nothing while carriers are being set up: that is over in a moment, and only the outcome is news.
void Engine::ReportRung(Tunnel& tunnel) {
  if (tunnel.datapath.pending) return;
  const control::Rung before = std::exchange(tunnel.reported_rung, RungOf(tunnel));
  const bool new_one = std::exchange(tunnel.unreported, false);
  if (!new_one && (before == tunnel.reported_rung || before == control::Rung::kUnknown)) return;
  control::Json details = RungDetails(tunnel);
  if (!new_one) {
    details["before"] = control::RungNumber(before);
    details["cause"] = tunnel.datapath.cause;
    details["reason"] = tunnel.datapath.reason;
  }
  const auto kind = new_one ? control::EventKind::kUp : control::EventKind::kRungChanged;
  world_.Report({kind, tunnel.config.name, "", std::move(details)});
}

void Engine::NetworkErrors(uint32_t tunnel, absl::Span<const NetworkError> errors) {
  Tunnel* t = FindTunnel(tunnel);
  if (t == nullptr || errors.empty()) return;
  std::map<Endpoint, int> latest;
  for (const NetworkError& e : errors) latest[e.destination] = e.error;
  for (const auto& peer : t->peers) {
    auto it = latest.find(peer->path.path.Get().remote);
    if (it == latest.end()) it = latest.find(peer->configured);
    if (it == latest.end()) continue;
    peer->trouble = absl::StrCat(
        "the network answered for ", it->first.ToString(), ": ",
        it->second == ECONNREFUSED ? "nobody listens on that port" : std::strerror(it->second));
  }
}

std::vector<uint32_t> Engine::TunnelIds() const {
  std::vector<uint32_t> ids;
  for (const auto& [id, tunnel] : tunnels_) ids.push_back(id);
  return ids;
}

void Engine::ClassicRelay(uint32_t tunnel, const Endpoint& relay, const std::string& state) {
  Tunnel* t = FindTunnel(tunnel);
  if (t != nullptr && ClassicPeers::Is(*t)) classic_.OnRelay(*t, relay, state);
}

bool Engine::Connected(const Peer& peer) {
  return ClassicPeers::Is(*peer.tunnel) ? ClassicPeers::Connected(*peer.tunnel)
                                        : peer.current != nullptr;
}

void Engine::ClassicEvent(Peer& peer, const Event& event) {
  const session::Path path = peer.path.path.Get();
  const auto handshake = peer.latest_handshake;
  classic_.OnEvent(peer, event);
  if (!(path == peer.path.path.Get()) || handshake != peer.latest_handshake) SavePeer(peer);
}

void Engine::HandleEvents() {
  events_.Take(&taken_);
  for (const Event& event : taken_) {
    if (event.type == EventType::kControlFrame) {
      ControlFrame(event);
      continue;
    }
    if (event.type == EventType::kPathHint) {
      PathHint(event);
      continue;
    }
    Peer* peer = FindPeer(event.tunnel, event.peer);
    if (peer == nullptr) continue;
    if (ClassicPeers::Is(*peer->tunnel)) {
      ClassicEvent(*peer, event);
      continue;
    }
    Session* session = FindSession(*peer, event.session);
    switch (event.type) {
      case EventType::kHandshakeWanted:
        // A packet may have come while the peer's session was being confirmed: there is one now.
        if (peer->current != nullptr && session != peer->current &&
            !peer->current->Expired(clock_.Now())) {
          peer->path.handshake_wanted = false;
          world_.SendStaged(peer->tunnel->id());
          break;
        }
        StartHandshake(*peer);
        peer->path.handshake_wanted = peer->attempt.has_value();
        break;
      case EventType::kRekeyWanted:
        if (session == peer->current) StartHandshake(*peer, /*rekey=*/true);
        break;
      case EventType::kConfirmed:
        if (session != nullptr) Confirm(*peer, *session, event.path);
        break;
      case EventType::kRoamed:
        if (session != nullptr && session == peer->current) {
          if (!(peer->path.path.Get().remote == event.path.remote)) {
            Log(Severity::kInfo, peer->tunnel->config.name, ": peer ", peer->config.name,
                " moved to ", event.path.remote.ToString());
            world_.Report({control::EventKind::kRoamed,
                           peer->tunnel->config.name,
                           peer->config.name,
                           {{"endpoint", event.path.remote.ToString()},
                            {"before", peer->path.path.Get().remote.ToString()}}});
          }
          UsePath(*peer, event.path);
          FollowPath(*peer);
          SavePeer(*peer);
        }
        break;
      case EventType::kControlTlv:
        ControlTlv(event);
        break;
      default:  // the rest is of protocol 3
        break;
    }
  }
}

}  // namespace cipe::engine
