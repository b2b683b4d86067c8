// A tunnel that is up gets another configuration (ipc::TunnelChange). Everything that can fail
// comes first; from the commit on nothing does. Peers that did not change are not touched, and
// workers see the old or the new map of AllowedIPs, never anything between.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "engine/engine.h"

namespace cipe::engine {

// What was made before anything is changed.
struct Engine::Change {
  bool new_key = false;
  std::unique_ptr<handshake::Identity> identity;  // when the private key is another one
  std::unique_ptr<handshake::ListenerKeys> keys;
  std::vector<std::unique_ptr<Peer>> added;
  std::vector<Peer*> all;                         // as it will be
  absl::flat_hash_map<uint32_t, size_t> changed;  // known peers: their place in the message
  std::unique_ptr<dataplane::PeerMap> map;
};

absl::Status Engine::PreparePeers(Tunnel& tunnel, ipc::TunnelChange& message, Change* change) {
  absl::flat_hash_map<uint32_t, Peer*> added;
  const handshake::Identity* identity =
      change->new_key ? change->identity.get() : tunnel.identity.get();
  for (size_t i = 0; i < message.peers.size(); ++i) {
    const uint32_t id = message.peers[i].peer;
    if (FindPeer(tunnel.id(), id) != nullptr) {
      change->changed[id] = i;
      continue;
    }
    CIPE_ASSIGN_OR_RETURN(
        std::unique_ptr<Peer> peer,
        MakePeer(tunnel, identity, std::move(message.config.peers[i]), message.peers[i]));
    added[id] = peer.get();
    change->added.push_back(std::move(peer));
  }
  absl::flat_hash_set<uint32_t> seen;
  for (const uint32_t id : message.all) {
    const auto it = added.find(id);
    Peer* peer = it != added.end() ? it->second : FindPeer(tunnel.id(), id);
    if (peer == nullptr || !seen.insert(id).second) {
      return absl::InternalError(absl::StrCat("a change names peer ", id, " wrongly"));
    }
    change->all.push_back(peer);
  }
  return absl::OkStatus();
}

absl::Status Engine::Prepare(Tunnel& tunnel, ipc::TunnelChange& message, Change* change) {
  if (ClassicPeers::Is(tunnel) || message.config.classic.has_value()) {
    return absl::UnimplementedError("tunnels of protocol 3 cannot be changed while they are up");
  }
  change->new_key = !(tunnel.config.private_key == message.config.private_key);
  if (change->new_key && message.config.private_key.has_value()) {
    CIPE_ASSIGN_OR_RETURN(handshake::Identity identity,
                          handshake::Identity::Create(*message.config.private_key));
    change->identity = std::make_unique<handshake::Identity>(std::move(identity));
  }
  CIPE_RETURN_IF_ERROR(PreparePeers(tunnel, message, change));
  change->keys = std::make_unique<handshake::ListenerKeys>(
      tunnel.config.suite, change->new_key ? change->identity.get() : tunnel.identity.get());
  for (const Peer* peer : change->all) {
    if (peer->shared.has_value()) CIPE_RETURN_IF_ERROR(change->keys->AddSharedKey(&*peer->shared));
  }
  CIPE_ASSIGN_OR_RETURN(
      change->map, MakePeerMap(change->all, [&](const Peer& peer) -> const config::Peer& {
        const auto it = change->changed.find(peer.id());
        return it == change->changed.end() ? peer.config : message.config.peers[it->second];
      }));
  return absl::OkStatus();
}

// Everybody to his new place; returns who has none any more.
std::vector<std::unique_ptr<Peer>> Engine::PlacePeers(Tunnel& tunnel, Change* change) {
  absl::flat_hash_map<uint32_t, std::unique_ptr<Peer>> owned;
  for (auto& peer : tunnel.peers) owned[peer->id()] = std::move(peer);
  for (auto& peer : change->added) owned[peer->id()] = std::move(peer);
  change->added.clear();
  tunnel.peers.clear();
  tunnel.by_key.clear();
  tunnel.by_key_id.clear();
  for (Peer* peer : change->all) {
    tunnel.peers.push_back(std::move(owned.find(peer->id())->second));
    owned.erase(peer->id());
    Enrol(tunnel, *peer);
  }
  std::vector<std::unique_ptr<Peer>> gone;
  for (auto& [id, peer] : owned) gone.push_back(std::move(peer));
  return gone;
}

// Peers that no map names any more. Workers may hold them until they have passed.
void Engine::LetGo(Tunnel& tunnel, std::vector<std::unique_ptr<Peer>> gone) {
  if (gone.empty()) return;
  std::vector<const session::PeerPath*> paths;
  for (const auto& peer : gone) {
    EndSessions(*peer);
    Dismiss(*peer);
    paths.push_back(&peer->path);
  }
  world_.DropStaged(tunnel.id(), paths);
  quiescent_.Retire([peers = std::make_shared<decltype(gone)>(std::move(gone))] {});
}

void Engine::SwapPeerMap(Tunnel& tunnel, std::unique_ptr<dataplane::PeerMap> map) {
  tunnel.path.peer_map.store(map.get(), std::memory_order_release);
  const std::shared_ptr<dataplane::PeerMap> old = std::exchange(tunnel.peer_map, std::move(map));
  quiescent_.Retire([old] {});
}

void Engine::TakeOptions(Tunnel& tunnel, config::Tunnel options, uint32_t mtu) {
  tunnel.config = std::move(options);
  tunnel.mtu = mtu;
  const bool ipv6 = std::any_of(tunnel.peers.begin(), tunnel.peers.end(), [](const auto& peer) {
    return config::HasIpv6(peer->config.allowed_ips);
  });
  tunnel.least_mtu = config::LeastMtu(tunnel.config, ipv6);
  SetPathOptions(tunnel);
}

// Whoever had the smallest MTU may have gone.
void Engine::RefitMtu(Tunnel& tunnel) {
  uint32_t smallest = session::PeerPath::kAnyMtu;
  for (const auto& peer : tunnel.peers) smallest = std::min(smallest, peer->path.mtu.load());
  if (std::exchange(tunnel.smallest_mtu, smallest) == smallest) return;
  world_.SmallestMtu(tunnel.id(), smallest);
}

// Tells the peer, as far as it can hear, and forgets the keys.
void Engine::EndSessions(Peer& peer) {
  AbandonAttempt(peer);
  CloseSession(peer);
  RetireAll(peer);
}

void Engine::ChangePeer(Peer& peer, config::Peer config, const ipc::PeerSetup& setup,
                        bool new_key) {
  const bool psk = !(peer.config.preshared_key == config.preshared_key);
  const bool moved = peer.config.endpoints != config.endpoints;
  const bool renewed = new_key && !peer.shared.has_value();
  peer.config = std::move(config);
  if (renewed) {
    peer.sender = senders_.Of(peer.tunnel->identity->public_key());
    StartStamps(peer, setup.floor);
  }
  if (psk) {
    // What is under way was made with the old one. The session goes on until the next is there:
    // the other end may get its new key a while later.
    AbandonAttempt(peer);
    Retire(peer.next);
    peer.next = nullptr;
    peer.trouble.clear();
  }
  if (moved) {
    peer.configured = setup.endpoint;
    peer.name_trouble.clear();
    if (!Connected(peer) && !setup.endpoint.is_set()) AbandonAttempt(peer);
    // Said by the administrator, so it counts at once, sessions or not; a peer that is elsewhere
    // roams back with its next frame.
    if (setup.endpoint.is_set() || !Connected(peer)) peer.path.path.Set({setup.endpoint, {}});
  }
  if (moved && peer.attempt.has_value()) peer.attempt->retry_at = clock_.Now();
  if (psk || renewed || (moved && setup.endpoint.is_set())) StartLater(peer);
  SavePeer(peer);
  due_.Set(peer, clock_.Now());
}

absl::Status Engine::ChangeTunnel(ipc::TunnelChange& message) {
  Tunnel* tunnel = FindTunnel(message.tunnel);
  if (tunnel == nullptr) {
    return absl::NotFoundError(absl::StrCat("tunnel id ", message.tunnel, " is not known"));
  }
  Change change;
  CIPE_RETURN_IF_ERROR(Prepare(*tunnel, message, &change));
  // Under the keys they were made for, peers hear that their sessions end.
  for (const auto& peer : tunnel->peers) {
    if (!change.new_key || peer->shared.has_value()) continue;
    EndSessions(*peer);
    peer->sender->Refused(peer->id());
  }
  std::vector<Peer*> added;
  for (const auto& peer : change.added) added.push_back(peer.get());
  std::vector<std::unique_ptr<Peer>> gone = PlacePeers(*tunnel, &change);
  if (change.new_key) tunnel->identity = std::move(change.identity);
  tunnel->keys = std::move(change.keys);
  SwapPeerMap(*tunnel, std::move(change.map));
  LetGo(*tunnel, std::move(gone));
  std::vector<config::Peer> peers = std::move(message.config.peers);
  message.config.peers.clear();
  for (const auto& [id, i] : change.changed) {
    ChangePeer(*peers_[id], std::move(peers[i]), message.peers[i], change.new_key);
  }
  TakeOptions(*tunnel, std::move(message.config), message.mtu);
  for (Peer* peer : added) {
    SavePeer(*peer);
    if (peer->configured.is_set()) StartLater(*peer);
  }
  // Rekey, keepalives: whatever is due earlier now.
  for (const auto& peer : tunnel->peers) {
    peer->unusable = false;
    if (peer->due_slot != Peer::kNotDue) due_.Set(*peer, clock_.Now());
  }
  RefitMtu(*tunnel);
  quiescent_.Collect();
  return absl::OkStatus();
}

}  // namespace cipe::engine
