// What happens without a packet: retries, keepalives, the end of keys; and in-tunnel control.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "engine/engine.h"
#include "protocol/constants.h"
#include "protocol/control_tlv.h"
#include "protocol/frame.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;
using session::Session;

// Workers stamp what they do; the control thread looks this often (session/timers.h).
constexpr auto kLookInterval = 500ms;
// Traffic counters go to the store so often, for an engine that takes over.
constexpr auto kSaveTraffic = 1s;
constexpr Duration kNever = 3600s;
// Initiations at once, and the pause between two from then on: ten thousand silent peers must not
// take all the time there is.
constexpr int kStartBurst = 64;
constexpr auto kStartPause = 1ms;
constexpr int kReportsPerSecond = 20;
constexpr int kLooksPerTick = 64;

}  // namespace

std::vector<uint8_t> Engine::SealUnder(Session& session, absl::Span<const uint8_t> plaintext) {
  std::vector<uint8_t> frame(plaintext.size() + protocol::kDataOverhead);
  session::SendLane& lane = session.send_lane(0);
  {
    std::lock_guard guard(lane.lock);
    const auto counter = lane.TakeCounter(static_cast<uint32_t>(plaintext.size()));
    if (!counter.has_value()) {
      session.path().drops.Add(cipe_drop_tx_key_exhausted);
      return {};
    }
    protocol::WriteDataHeader(session.setup().remote_index, *counter, frame.data());
    const SealJob job{*counter, frame.data(), plaintext.data(),
                      frame.data() + protocol::kDataHeaderSize,
                      static_cast<uint32_t>(plaintext.size())};
    lane.key->SealBatch(absl::MakeSpan(&job, 1));
  }
  session.path().last_sent.store(ToNanos(clock_.Now()), std::memory_order_relaxed);
  return frame;
}

void Engine::SendUnder(Session& session, absl::Span<const uint8_t> plaintext) {
  const std::vector<uint8_t> frame = SealUnder(session, plaintext);
  if (frame.empty()) return;
  Peer* peer = FindPeer(session.path().tunnel, session.path().peer);
  if (peer != nullptr) SendTo(*peer, session.path().path.Get(), frame);
}

void Engine::CloseSessions(uint32_t id) {
  Tunnel* tunnel = FindTunnel(id);
  if (tunnel == nullptr) return;
  for (const auto& peer : tunnel->peers) CloseSession(*peer);
}

void Engine::CloseSession(Peer& peer) {
  if (peer.current == nullptr) return;
  std::array<uint8_t, protocol::kTlvHeaderSize> close;
  protocol::BuildControl(protocol::Close{}, absl::MakeSpan(close));
  // First of all nobody sends data any more: the peer could not open it.
  peer.path.current.store(nullptr, std::memory_order_release);
  SendUnder(*peer.current, close);
}

// What was agreed on after the close was sent is not meant: the network may deliver late.
void Engine::CloseReceived(Peer& peer, uint32_t session) {
  const Session* under = FindSession(peer, session);
  if (under == nullptr) return;
  Log(Severity::kInfo, peer.tunnel->config.name, ": peer ", peer.config.name,
      " closed the session");
  world_.Report({control::EventKind::kClosed, peer.tunnel->config.name, peer.config.name});
  const uint64_t newest = under->setup().generation;
  for (Session** slot : {&peer.previous, &peer.next, &peer.current}) {
    if (*slot == nullptr || (*slot)->setup().generation > newest) continue;
    if (slot == &peer.current) {
      peer.path.current.store(nullptr, std::memory_order_release);
      peer.timers.Reset();
    }
    Retire(*slot);
    *slot = nullptr;
  }
  if (peer.current == nullptr) NotePeerState(peer, PeerState::kDown);
  SavePeer(peer);
  Wake(peer);
}

void Engine::SendKeepalive(Peer& peer) {
  if (peer.current != nullptr) SendUnder(*peer.current, {});
}

void Engine::ControlTlv(const dataplane::Event& event) {
  Peer* peer = FindPeer(event.tunnel, event.peer);
  if (peer == nullptr) return;
  const auto message = protocol::ParseControl(absl::MakeConstSpan(event.data.data(), event.size),
                                              event.plaintext_size);
  if (!message.ok()) return peer->path.drops.Add(message.reason());
  if (const auto* echo = std::get_if<protocol::EchoRequest>(&*message); echo != nullptr) {
    if (peer->current == nullptr) return;
    const protocol::ControlMessage reply = protocol::EchoReply{
        echo->id, static_cast<uint16_t>(std::min<size_t>(echo->plaintext_size, 65535))};
    std::array<uint8_t, 64> plaintext;
    const size_t size = protocol::ControlSize(reply);
    if (protocol::BuildControl(reply, absl::MakeSpan(plaintext).subspan(0, size)) == size) {
      SendUnder(*peer->current, absl::MakeConstSpan(plaintext).subspan(0, size));
    }
  } else if (const auto* answer = std::get_if<protocol::EchoReply>(&*message); answer != nullptr) {
    if ((answer->id & session::kProbeIdBit) != 0) {
      ProbeAnswered(*peer, answer->id, answer->seen_size);
    } else {
      peer->liveness.Answered(answer->id, clock_.Now());
    }
    Wake(*peer);
  } else if (const auto* changed = std::get_if<protocol::ChangedParameters>(&*message);
             changed != nullptr) {
    SetPeerMtu(*peer, changed->mtu);
    SavePeer(*peer);
  } else if (std::holds_alternative<protocol::Close>(*message)) {
    CloseReceived(*peer, event.session);
  }
}

void Engine::ExpireSessions(Peer& peer, Instant now) {
  for (Session** slot : {&peer.previous, &peer.next, &peer.current}) {
    if (*slot == nullptr || !(*slot)->Expired(now)) continue;
    const bool current = slot == &peer.current;
    if (current) peer.path.current.store(nullptr, std::memory_order_release);
    Retire(*slot);
    *slot = nullptr;
    if (current) NotePeerState(peer, PeerState::kDown);
  }
  if (peer.current == nullptr && peer.probing != nullptr) FollowPath(peer);
}

std::optional<std::string> Engine::MayReport(Instant now) {
  if (now - report_second_ >= 1s) {
    report_second_ = now;
    reports_ = 0;
  }
  if (reports_ >= kReportsPerSecond) {
    ++unreported_;
    return std::nullopt;
  }
  ++reports_;
  const uint64_t left_out = std::exchange(unreported_, 0);
  return left_out == 0 ? "" : absl::StrCat(" (and ", left_out, " lines like this left out)");
}

Instant Engine::TickAttempt(Peer& peer, Instant now) {
  Attempt& attempt = *peer.attempt;
  if (now < attempt.retry_at) return attempt.retry_at;
  if (now - attempt.since >= protocol::kHandshakeGiveUp) {
    if (const auto more = MayReport(now); more.has_value()) {
      Log(Severity::kWarning, peer.tunnel->config.name, ": peer ", peer.config.name,
          " does not answer, waiting for traffic: ", WhyNoSession(peer), *more);
    }
    const bool keep_trying = peer.config.persistent_keepalive_s > 0 || peer.config.ping_s > 0;
    AbandonAttempt(peer);
    if (keep_trying) StartHandshake(peer);
    return peer.attempt.has_value() ? peer.attempt->retry_at : now + kNever;
  }
  if (attempt.initiations >= 2 && !attempt.reported) {
    attempt.reported = true;
    if (const auto more = MayReport(now); more.has_value()) {
      Log(Severity::kWarning, peer.tunnel->config.name, ": no session with ", peer.config.name,
          " yet: ", WhyNoSession(peer), *more);
    }
    world_.Report({control::EventKind::kNoAnswer,
                   peer.tunnel->config.name,
                   peer.config.name,
                   {{"why", WhyNoSession(peer)}}});
  }
  if (GiveUpEndpoint(peer, now)) return attempt.retry_at;
  if (!std::exchange(attempt.in_turn, false)) {
    const Instant turn = TakeTurn(now);
    if (turn > now) {
      attempt.in_turn = true;
      return attempt.retry_at = turn;
    }
  }
  SendInitiation(peer);
  return peer.attempt.has_value() ? peer.attempt->retry_at : now + kLookInterval;
}

void Engine::SaveTraffic(Peer& peer, Instant now) {
  const session::Traffic& traffic = peer.path.traffic;
  const uint64_t packets = traffic.rx_packets.load() + traffic.tx_packets.load();
  if (packets == peer.saved_packets || now < peer.save_traffic_at) return;
  peer.saved_packets = packets;
  peer.save_traffic_at = now + kSaveTraffic;
  SavePeer(peer);
}

std::map<std::string, std::array<uint64_t, CIPE_DROP_REASONS>> Engine::DropsByTunnel() const {
  std::map<std::string, std::array<uint64_t, CIPE_DROP_REASONS>> all;
  for (const auto& [id, tunnel] : tunnels_) {
    auto& counts = all[tunnel->config.name];
    for (const uint16_t reason : session::internal::kReasons) {
      counts[reason] = tunnel->path.drops.Get(reason);
      for (const auto& peer : tunnel->peers) counts[reason] += peer->path.drops.Get(reason);
    }
  }
  return all;
}

void Engine::SaveAllTraffic() {
  for (const auto& [id, peer] : peers_) SavePeer(*peer);
}

Instant Engine::TickPeer(Peer& peer, Instant now) {
  ExpireSessions(peer, now);
  SaveTraffic(peer, now);
  Instant next = now + kNever;
  if (peer.start_at != Instant{}) {
    if (now >= peer.start_at) StartHandshake(peer);
    if (peer.start_at > now) next = peer.start_at;
  }
  const auto persistent = std::chrono::seconds(peer.config.persistent_keepalive_s);
  if (peer.current != nullptr) {
    const session::TimerSettings settings{std::chrono::seconds(peer.tunnel->config.rekey_s),
                                          persistent, peer.config.ping_s > 0};
    const session::TimerDecision decision =
        session::LookAtTimers(peer.path, settings, peer.current->setup().initiator,
                              peer.current->setup().created, now, &peer.timers);
    if (decision.keepalive) SendKeepalive(peer);
    if (decision.handshake) StartHandshake(peer, /*rekey=*/!decision.dead);
    next = std::min<Instant>(now + kLookInterval, TickProber(peer, now));
  } else if ((persistent > 0s || peer.config.ping_s > 0) && !peer.attempt.has_value()) {
    if (peer.configured.is_set()) StartHandshake(peer);
  }
  if (peer.config.ping_s > 0 || peer.liveness.dead())
    next = std::min(next, TickLiveness(peer, now));
  if (peer.previous != nullptr || peer.next != nullptr) next = std::min(next, now + kLookInterval);
  if (peer.attempt.has_value()) next = std::min(next, TickAttempt(peer, now));
  const uint64_t packets =
      peer.path.traffic.rx_packets.load() + peer.path.traffic.tx_packets.load();
  if (packets != peer.saved_packets) next = std::min(next, peer.save_traffic_at);
  return next;
}

void Engine::Wake(Peer& peer) {
  if (ClassicPeers::Is(*peer.tunnel)) return;
  if (peers_.contains(peer.id())) due_.SetBy(peer, clock_.Now());
}

void Engine::StartLater(Peer& peer) {
  const Instant now = clock_.Now();
  const Instant turn = TakeTurn(now);
  if (turn <= now) return StartHandshake(peer);
  peer.start_at = turn;
  due_.SetBy(peer, turn);
}

Instant Engine::TakeTurn(Instant now) {
  next_turn_ = std::max<Instant>(next_turn_, now - kStartBurst * kStartPause) + kStartPause;
  return next_turn_;
}

Instant Engine::Tick() {
  const Instant now = clock_.Now();
  // A few at a time: clients and the broker want to be heard in between.
  for (int looks = 0; looks < kLooksPerTick; ++looks) {
    Peer* peer = due_.Take(now);
    if (peer == nullptr) break;
    const Instant next = TickPeer(*peer, now);
    // Looked at just now: what it did to itself meanwhile is in `next`.
    if (next >= now + kNever) {
      due_.Remove(*peer);
    } else {
      due_.Set(*peer, std::max<Instant>(next, now + 1ms));
    }
  }
  Instant next = now + kNever;
  if (!due_.empty()) next = std::min(next, due_.next());
  for (const auto& [id, tunnel] : tunnels_) {
    if (ClassicPeers::Is(*tunnel)) next = std::min(next, classic_.Tick(*tunnel, now));
  }
  if (quiescent_.Collect() > 0) next = std::min<Instant>(next, now + kLookInterval);
  return std::max<Instant>(next, now + 100us);
}

}  // namespace cipe::engine
