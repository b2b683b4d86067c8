// Key epochs of a peer: previous, current, next; and how they survive an engine.
#include <algorithm>
#include <cstring>

#include "base/counted.h"
#include "base/log.h"
#include "engine/engine.h"
#include "handshake/session_secrets.h"
#include "protocol/constants.h"

namespace cipe::engine {

using handshake::SessionSecrets;
using session::Session;
using session::SessionSetup;
using session::Slot;

uint32_t Engine::TakeIndex() {
  const Instant now = clock_.Now();
  while (!resting_.empty() && resting_.front().first <= now) {
    indices_.erase(resting_.front().second);
    resting_.pop_front();
  }
  while (true) {
    const uint32_t index = rng_.U32() & ~protocol::kLaneMask;
    if (index != 0 && indices_.insert(index).second) return index;
  }
}

void Engine::GiveIndex(uint32_t index, Instant now) {
  resting_.push_back({now + protocol::kIndexReuse, index});
}

// In the table (so it can receive) when it returns; null when there is no room.
Session* Engine::MakeSession(Peer& peer, const SessionSecrets& secrets, Instant now) {
  SessionSetup setup;
  setup.local_index = secrets.local_index;
  setup.remote_index = secrets.remote_index;
  setup.suite = secrets.suite;
  setup.initiator = secrets.initiator;
  setup.created = now;
  setup.send_lanes = secrets.remote.lanes;
  setup.receive_lanes = peer.tunnel->config.lanes;
  setup.generation = ++generation_;
  setup.path = &peer.path;
  setup.tie_break = secrets.initiation_ephemeral;
  setup.peer_mtu = secrets.remote.mtu;
  const auto count = static_cast<uint32_t>(std::max(setup.send_lanes, setup.receive_lanes));
  const std::optional<uint32_t> slot = lane_slots_.Take(count);
  if (!slot.has_value() || sessions_.size() >= CIPE_MAX_SESSIONS) {
    if (slot.has_value()) lane_slots_.Give(*slot, count);
    return nullptr;
  }
  setup.lane_slot = *slot;
  setup.lane_state = store_.lane_state() + *slot;
  for (uint32_t i = 0; i < count; ++i) {
    __atomic_store_n(&setup.lane_state[i].send_reserved, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&setup.lane_state[i].receive_greatest, 0, __ATOMIC_RELEASE);
  }
  std::vector<Secret<32>> send, receive;
  for (int lane = 0; lane < setup.send_lanes; ++lane) {
    send.push_back(handshake::LaneKey(secrets.suite, secrets.send_key, lane));
  }
  for (int lane = 0; lane < setup.receive_lanes; ++lane) {
    receive.push_back(handshake::LaneKey(secrets.suite, secrets.receive_key, lane));
  }
  auto session = Session::Create(setup, send, receive, options_.backend);
  if (!session.ok()) {
    Log(Severity::kError, peer.tunnel->config.name, ": ", session.status().ToString());
    lane_slots_.Give(*slot, count);
    return nullptr;
  }
  return sessions_.Insert(*std::move(session));
}

absl::Status Engine::StoreSession(Session& session, const SessionSecrets& secrets) {
  return store_.Save(session, secrets.send_key, secrets.receive_key);
}

void Engine::SetSlot(Session* session, Slot slot) {
  if (session == nullptr) return;
  session->slot.store(slot, std::memory_order_release);
  if (absl::Status s = store_.UpdateState(*session); !s.ok()) {
    Log(Severity::kError, "session ", session->base(), ": ", s.ToString());
  }
}

void Engine::Retire(Session* session) {
  if (session == nullptr) return;
  const SessionSetup& setup = session->setup();
  store_.Erase(session->base());
  GiveIndex(setup.local_index, clock_.Now());
  std::shared_ptr<Session> owned = sessions_.Remove(session);
  const auto count = static_cast<uint32_t>(std::max(setup.send_lanes, setup.receive_lanes));
  // Its entries of the shared array are free only when no worker can write them any more.
  quiescent_.Retire([this, owned = std::move(owned), first = setup.lane_slot, count] {
    lane_slots_.Give(first, count);
  });
}

void Engine::RetireAll(Peer& peer) {
  peer.path.current.store(nullptr, std::memory_order_release);
  for (Session** slot : {&peer.previous, &peer.current, &peer.next}) {
    Retire(*slot);
    *slot = nullptr;
  }
  peer.timers.Reset();
  NotePeerState(peer, PeerState::kDown);
  Wake(peer);
}

void Engine::WipeSessions() {
  for (const auto& [id, tunnel] : tunnels_) {
    if (ClassicPeers::Is(*tunnel)) {
      classic_.Renew(*tunnel);
      continue;
    }
    for (const auto& peer : tunnel->peers) {
      const bool had = peer->current != nullptr;
      RetireAll(*peer);
      if (had) StartLater(*peer);
    }
  }
}

// `session` is in none of the peer's slots, or in `next`.
void Engine::MakeCurrent(Peer& peer, Session* session, const session::Path& path) {
  if (peer.next == session) peer.next = nullptr;
  // Both sides started at once: we answered the peer's initiation before our own was answered. The
  // greater ephemeral wins on both ends, the other can still receive. An initiation that came after
  // our own session was made is no such case: the peer has started anew and may have lost the old.
  bool crossed = false;
  if (peer.current != nullptr && peer.current->setup().initiator != session->setup().initiator) {
    const Session* ours = session->setup().initiator ? session : peer.current;
    const Session* theirs = session->setup().initiator ? peer.current : session;
    const Duration apart = ours->setup().created - theirs->setup().created;
    crossed = apart >= Duration::zero() && apart < protocol::kSimultaneousWindow;
  }
  const bool old_wins = crossed && peer.current->setup().tie_break > session->setup().tie_break;
  Session* winner = old_wins ? peer.current : session;
  Session* loser = old_wins ? session : peer.current;
  if (peer.previous != loser) Retire(peer.previous);
  peer.previous = loser;
  peer.current = winner;
  SetSlot(winner, Slot::kCurrent);
  // Before the session is published: a worker that sees it must know where to send.
  if (winner == session) UsePath(peer, path);
  SetPeerMtu(peer, winner->setup().peer_mtu);
  FollowPath(peer);
  peer.path.current.store(winner, std::memory_order_release);
  SetSlot(loser, Slot::kPrevious);
  peer.timers.Reset();
  NotePeerState(peer, PeerState::kConnected);
  peer.start_at = {};
  Wake(peer);
}

// One netdev serves all peers, so its MTU is the smallest of theirs; what is announced to a peer
// stays our own, or two ends could never go back up.
void Engine::SetPeerMtu(Peer& peer, uint32_t mtu) {
  const uint32_t old = peer.path.mtu.exchange(mtu);
  if (old != mtu) StartProber(peer, false);
  Tunnel& tunnel = *peer.tunnel;
  uint32_t smallest = std::min(tunnel.smallest_mtu, mtu);
  if (old == tunnel.smallest_mtu && mtu > old) {
    smallest = session::PeerPath::kAnyMtu;
    for (const auto& p : tunnel.peers) smallest = std::min(smallest, p->path.mtu.load());
  }
  if (smallest == tunnel.smallest_mtu) return;
  tunnel.smallest_mtu = smallest;
  world_.SmallestMtu(tunnel.id(), smallest);
}

void Engine::InstallInitiated(Peer& peer, Session& session, const session::Path& path) {
  session.confirmed = true;  // the response itself proved it
  ReportSession(peer, path);
  MakeCurrent(peer, &session, path);
  peer.latest_handshake = clock_.Wall();
  SavePeer(peer);
  // The responder may not send before it has heard us under the new keys.
  SendKeepalive(peer);
  world_.SendStaged(peer.tunnel->id());
  world_.PeerConnected(peer.tunnel->id(), peer.id());
}

// Before the session becomes current.
void Engine::ReportSession(const Peer& peer, const session::Path& path) {
  const auto kind =
      peer.current == nullptr ? control::EventKind::kHandshake : control::EventKind::kRekeyed;
  world_.Report(
      {kind, peer.tunnel->config.name, peer.config.name, {{"endpoint", path.remote.ToString()}}});
}

void Engine::InstallResponded(Peer& peer, Session& session) {
  Retire(peer.next);
  peer.next = &session;
  SetSlot(&session, Slot::kNext);
  Wake(peer);
}

// First authenticated frame under `session`.
void Engine::Confirm(Peer& peer, Session& session, const session::Path& path) {
  if (session.confirmed.exchange(true)) return;
  if (&session != peer.next) return;
  ReportSession(peer, path);
  MakeCurrent(peer, &session, path);
  peer.latest_handshake = clock_.Wall();
  peer.trouble.clear();
  AbandonAttempt(peer);
  SavePeer(peer);
  Log(Severity::kInfo, peer.tunnel->config.name, ": session with ", peer.config.name, " at ",
      path.remote.ToString());
  world_.SendStaged(peer.tunnel->id());
  world_.PeerConnected(peer.tunnel->id(), peer.id());
}

void Engine::SavePeer(const Peer& peer) {
  cipe_peer value{};
  const session::Path path = peer.path.path.Get();
  value.tunnel = peer.tunnel->id();
  const uint32_t mtu = peer.path.mtu.load();
  value.mtu = mtu == session::PeerPath::kAnyMtu ? 0 : mtu;
  std::memcpy(value.endpoint_address, path.remote.address.octets.data(), 16);
  value.endpoint_port = __builtin_bswap16(path.remote.port);
  value.endpoint_family = static_cast<uint8_t>(path.remote.address.family);
  value.endpoint_scope = path.remote.scope_id;
  if (peer.shared.has_value()) {
    std::memcpy(value.identity, peer.shared->key_id().data(), peer.shared->key_id().size());
  } else {
    std::memcpy(value.identity, peer.config.public_key.data(), 32);
  }
  if (peer.latest_handshake.has_value()) {
    value.last_handshake_unix_ns = static_cast<uint64_t>(peer.latest_handshake->unix_ns);
  }
  const session::Traffic& traffic = peer.path.traffic;
  value.rx_bytes = traffic.rx_bytes.load();
  value.tx_bytes = traffic.tx_bytes.load();
  value.rx_packets = traffic.rx_packets.load();
  value.tx_packets = traffic.tx_packets.load();
  store_.SavePeer(peer.id(), value);
}

void Engine::Resume(Peer& peer, StoredSession& stored) {
  const Instant now = clock_.Now();
  SessionSetup& setup = stored.setup;
  setup.path = &peer.path;
  setup.resume = true;
  setup.lane_state = store_.lane_state() + setup.lane_slot;
  const auto lanes = static_cast<uint32_t>(std::max(setup.send_lanes, setup.receive_lanes));
  std::vector<Secret<32>> send, receive;
  for (int lane = 0; lane < setup.send_lanes; ++lane) {
    send.push_back(handshake::LaneKey(setup.suite, stored.send, lane));
  }
  for (int lane = 0; lane < setup.receive_lanes; ++lane) {
    receive.push_back(handshake::LaneKey(setup.suite, stored.receive, lane));
  }
  Session** slot = stored.slot == Slot::kCurrent    ? &peer.current
                   : stored.slot == Slot::kPrevious ? &peer.previous
                   : stored.slot == Slot::kNext     ? &peer.next
                                                    : nullptr;
  auto session = Session::Create(setup, send, receive, options_.backend);
  const bool fits = slot != nullptr && *slot == nullptr && stored.slot != Slot::kNone &&
                    session.ok() && !(*session)->Expired(now) &&
                    indices_.insert(setup.local_index).second;
  if (!fits) {
    store_.Erase(setup.local_index >> CIPE_LANE_BITS);
    return;
  }
  lane_slots_.TakeAt(setup.lane_slot, lanes);
  generation_ = std::max(generation_, setup.generation);
  *slot = sessions_.Insert(*std::move(session));
  (*slot)->confirmed = stored.confirmed;
  (*slot)->slot.store(stored.slot, std::memory_order_release);
  if (slot != &peer.current) return;
  peer.path.current.store(*slot, std::memory_order_release);
  peer.state = PeerState::kConnected;  // no news: it was before
}

void Engine::TakeOver(Tunnel& tunnel) {
  int resumed = 0;
  for (StoredSession& stored : store_.Load()) {
    if (stored.tunnel != tunnel.id()) continue;
    Peer* peer = FindPeer(stored.tunnel, stored.peer);
    if (peer == nullptr) {
      store_.Erase(stored.setup.local_index >> CIPE_LANE_BITS);
      continue;
    }
    Resume(*peer, stored);
    ++resumed;
  }
  for (const auto& peer : tunnel.peers) {
    cipe_peer known{};
    if (!store_.LoadPeer(peer->id(), &known)) continue;
    if (known.mtu != 0) SetPeerMtu(*peer, known.mtu);
    session::Traffic& traffic = peer->path.traffic;
    traffic.rx_bytes = known.rx_bytes;
    traffic.tx_bytes = known.tx_bytes;
    traffic.rx_packets = known.rx_packets;
    traffic.tx_packets = known.tx_packets;
    if (known.endpoint_family == 0) continue;
    Endpoint endpoint;
    endpoint.address = known.endpoint_family == 4 ? IpAddress::V4(known.endpoint_address)
                                                  : IpAddress::V6(known.endpoint_address);
    endpoint.port = __builtin_bswap16(known.endpoint_port);
    endpoint.scope_id = known.endpoint_scope;
    peer->path.path.Set({endpoint, {}});
    if (known.last_handshake_unix_ns != 0) {
      peer->latest_handshake = WallTime{static_cast<int64_t>(known.last_handshake_unix_ns)};
    }
    FollowPath(*peer);
  }
  Log(Severity::kNotice, tunnel.config.name, ": took over ", Counted(resumed, "session"));
}

}  // namespace cipe::engine
