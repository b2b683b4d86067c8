// Is the peer there? The one place where what is known of that changes, and the pings that find
// out.
#include <array>
#include <utility>

#include "base/log.h"
#include "engine/engine.h"
#include "protocol/control_tlv.h"

namespace cipe::engine {

// Everything that follows from a peer's coming and going hangs on this.
void Engine::NotePeerState(Peer& peer, PeerState state) {
  // A handshake is a sign of life; the end of a session says nothing about a peer that is dead.
  if (state == PeerState::kConnected) peer.liveness.Alive();
  if (state == PeerState::kDown && peer.liveness.dead()) state = PeerState::kDead;
  if (peer.state == state) return;
  const PeerState before = std::exchange(peer.state, state);
  const std::string& tunnel = peer.tunnel->config.name;
  if (state == PeerState::kDead) {
    Log(Severity::kWarning, tunnel, ": peer ", peer.config.name, " is dead: ", Dead(peer).why);
    world_.Report({control::EventKind::kDead, tunnel, peer.config.name, {{"why", Dead(peer).why}}});
  } else if (before == PeerState::kDead) {
    Log(Severity::kNotice, tunnel, ": peer ", peer.config.name, " is alive again at ",
        peer.path.path.Get().remote.ToString());
    world_.Report({control::EventKind::kAlive, tunnel, peer.config.name});
  }
}

void Engine::SendEcho(Peer& peer, Instant now) {
  // Requests that probe the path have the highest bit, these never.
  const uint64_t id = (uint64_t{rng_.U32() >> 1} << 32) | rng_.U32();
  const protocol::ControlMessage echo = protocol::EchoRequest{id};
  std::array<uint8_t, protocol::kLongestControl> plaintext;
  const size_t size = protocol::ControlSize(echo);
  const auto out = absl::MakeSpan(plaintext).subspan(0, size);
  if (protocol::BuildControl(echo, out) != size) return;
  peer.liveness.Sent(id, now);
  SendUnder(*peer.current, out);
}

Instant Engine::TickLiveness(Peer& peer, Instant now) {
  LivenessSettings settings;
  settings.ping = std::chrono::seconds(peer.config.ping_s);
  settings.timeout = std::chrono::seconds(peer.config.ping_timeout_s);
  settings.spread = settings.ping / 64 * (peer.id() % 64);
  const Instant heard = FromNanos(peer.path.last_received.load(std::memory_order_relaxed));
  const Liveness::Step step = peer.liveness.Look(settings, peer.current != nullptr, heard, now);
  if (step.revived) {
    NotePeerState(peer, peer.current != nullptr ? PeerState::kConnected : PeerState::kDown);
  }
  if (step.died) {
    NotePeerState(peer, PeerState::kDead);
    // An attempt that is under way is a rekey, which counts on the session no more.
    if (peer.attempt.has_value()) peer.attempt->rekey = false;
    StartHandshake(peer);
  }
  if (step.ping) SendEcho(peer, now);
  return step.next;
}

}  // namespace cipe::engine
