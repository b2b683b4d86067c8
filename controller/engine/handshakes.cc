// Both sides of a handshake, from frame to installed session. Every refusal is counted; nothing an
// initiation says takes effect before the first authenticated data frame under its keys.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "engine/engine.h"
#include "protocol/constants.h"
#include "protocol/frame.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;
using protocol::Tai64n;

constexpr int64_t kRetryJitterNs = 333'000'000;

Duration Jitter(Rng& rng) { return Duration(rng.U32() % kRetryJitterNs); }

ipc::Floor FloorOf(const Peer& peer) {
  ipc::Floor floor;
  floor.sent = peer.sender->sent().octets;
  floor.sent_reserved = peer.sender->reserved().octets;
  floor.received = peer.stamps->received.octets;
  return floor;
}

}  // namespace

protocol::Parameters Engine::OwnParameters(const Tunnel& tunnel) const {
  protocol::Parameters p;
  p.node_id = options_.node_id;
  p.lanes = tunnel.config.lanes;
  p.mtu = static_cast<uint16_t>(std::clamp<uint32_t>(tunnel.mtu, protocol::kMinMtu, 65535));
  for (const IpPrefix& address : tunnel.config.addresses) {
    IpAddress& slot = address.address.is_v4() ? p.ipv4 : p.ipv6;
    if (!slot.is_set()) slot = address.address;
  }
  return p;
}

bool Engine::UnderLoad(Instant now) {
  if (now - load_second_ >= 1s) {
    load_second_ = now;
    load_count_ = 0;
  }
  if (load_count_ >= options_.load_limit) loaded_until_ = now + 1s;
  return now < loaded_until_;
}

void Engine::ControlFrame(const dataplane::Event& event) {
  Tunnel* tunnel = FindTunnel(event.tunnel);
  if (tunnel == nullptr) return;
  const absl::Span<const uint8_t> frame(event.data.data(), event.size);
  const auto kind = protocol::ClassifyFrame(frame);
  if (!kind.ok()) {
    tunnel->path.drops.Add(kind.reason());
    return;
  }
  switch (*kind) {
    case protocol::FrameKind::kInitiation:
      return Initiation(*tunnel, event.path, frame);
    case protocol::FrameKind::kResponse:
      return Response(*tunnel, event.path, frame);
    case protocol::FrameKind::kCookieReply:
      return CookieReply(*tunnel, frame);
    case protocol::FrameKind::kData:
      return;  // workers never send these here
  }
}

// ---- responder ----

// Under load: a cookie for who has none, a share for who has.
bool Engine::AdmitUnderLoad(Tunnel& tunnel, const session::Path& path,
                            const handshake::PeekedInitiation& peeked) {
  const Instant now = clock_.Now();
  if (!cookies_.CheckMac2(peeked.view, path.remote, now)) {
    tunnel.path.drops.Add(cipe_drop_hs_bad_mac2);
    std::array<uint8_t, protocol::kCookieReplySize> reply;
    handshake::BuildCookieReply(peeked.view, *peeked.mac_keys, cookies_.CookieFor(path.remote, now),
                                rng_, absl::MakeSpan(reply));
    if (world_.Send(tunnel.id(), path, reply) != 0) tunnel.path.drops.Add(cipe_drop_tx_send_error);
    return false;
  }
  if (!rate_limiter_.Allow(path.remote.address, now)) {
    tunnel.path.drops.Add(cipe_drop_hs_rate_limited);
    return false;
  }
  return true;
}

void Engine::Initiation(Tunnel& tunnel, const session::Path& path,
                        absl::Span<const uint8_t> frame) {
  const auto drop = [&](int reason) { tunnel.path.drops.Add(reason); };
  const auto peeked = tunnel.keys->Peek(frame);
  if (!peeked.ok()) return drop(peeked.reason());
  const Instant now = clock_.Now();
  if (UnderLoad(now) && !AdmitUnderLoad(tunnel, path, *peeked)) return;
  ++load_count_;
  auto responder = handshake::Responder::Create(*tunnel.keys, *peeked);
  if (!responder.ok()) return drop(responder.reason());
  Peer* peer = nullptr;
  if (responder->pattern() == protocol::Pattern::kIkPsk2) {
    const auto it = tunnel.by_key.find(responder->remote_public_key());
    if (it != tunnel.by_key.end()) peer = it->second;
  } else {
    const auto it = tunnel.by_key_id.find(responder->key_id());
    if (it != tunnel.by_key_id.end()) peer = it->second;
  }
  if (peer == nullptr) return drop(cipe_drop_hs_unknown_peer);
  session::DropCounters& drops = peer->path.drops;
  if (peer->last_accepted != Instant{} &&
      now - peer->last_accepted < protocol::kInitiationSpacing) {
    return drops.Add(cipe_drop_hs_too_soon);
  }
  const Secret<32>* psk =
      peer->config.preshared_key.has_value() ? &*peer->config.preshared_key : nullptr;
  const auto payload = responder->Consume(psk, options_.node_id);
  if (!payload.ok()) {
    peer->own_id_back |= payload.reason() == cipe_drop_hs_reflected;
    return drops.Add(payload.reason());
  }
  if (payload->timestamp <= peer->stamps->received) {
    const bool behind = payload->timestamp.Plus(protocol::kClockBehind) < peer->stamps->received;
    peer->clock_behind |= behind;
    return drops.Add(behind ? cipe_drop_hs_clock_behind : cipe_drop_hs_replayed);
  }
  peer->clock_behind = peer->own_id_back = false;
  // Also when there will be no room for a session: the same initiation is never worked on twice.
  // The broker has it before the response goes out, so that it is kept when this process dies now.
  peer->stamps->received = payload->timestamp;
  peer->last_accepted = now;
  world_.SaveFloor(tunnel.id(), peer->id(), FloorOf(*peer), false);
  Respond(tunnel, *peer, path, *responder);
}

void Engine::Respond(Tunnel& tunnel, Peer& peer, const session::Path& path,
                     handshake::Responder& responder) {
  const uint32_t index = TakeIndex();
  std::array<uint8_t, protocol::kResponseSize> frame;
  auto secrets = responder.BuildResponse(OwnParameters(tunnel), index, rng_, absl::MakeSpan(frame));
  if (!secrets.ok()) {
    GiveIndex(index, clock_.Now());
    return peer.path.drops.Add(secrets.reason());
  }
  session::Session* session = MakeSession(peer, *secrets, clock_.Now());
  if (session == nullptr) {
    GiveIndex(index, clock_.Now());
    return peer.path.drops.Add(cipe_drop_hs_table_full);
  }
  if (absl::Status status = StoreSession(*session, *secrets); !status.ok()) {
    Log(Severity::kError, tunnel.config.name, ": ", status.ToString());
    Retire(session);
    return peer.path.drops.Add(cipe_drop_hs_table_full);
  }
  InstallResponded(peer, *session);
  SendTo(peer, path, frame);
}

ipc::Floor Engine::ForgetClock(Peer& peer) {
  peer.stamps->received = {};
  peer.clock_behind = false;
  Log(Severity::kNotice, peer.tunnel->config.name, ": the clock of peer ", peer.config.name,
      " is forgotten");
  return FloorOf(peer);
}

// ---- initiator ----

Peer* Engine::PeerOfAttempt(Tunnel& tunnel, uint32_t index) {
  const auto it = initiating_.find(index);
  if (it == initiating_.end() || it->second->tunnel != &tunnel) return nullptr;
  return it->second;
}

void Engine::DropInitiator(Peer& peer) {
  if (peer.initiator == nullptr) return;
  initiating_.erase(peer.initiator->sender_index());
  GiveIndex(peer.initiator->sender_index(), clock_.Now());
  peer.initiator.reset();
}

void Engine::AbandonAttempt(Peer& peer) {
  DropInitiator(peer);
  peer.attempt.reset();
  peer.path.handshake_wanted = false;
  Wake(peer);
}

void Engine::StartHandshake(Peer& peer, bool rekey) {
  if (peer.attempt.has_value() || peer.unusable) return;
  if (!peer.path.path.Get().remote.is_set()) {
    if (!peer.configured.is_set()) return;
    TakeFromBook(peer);
  }
  const session::DropCounters& drops = peer.tunnel->path.drops;
  Attempt attempt;
  attempt.since = clock_.Now();
  attempt.rekey = rekey;
  // Where the pings went there is silence: one try is enough.
  const Endpoint remote = peer.path.path.Get().remote;
  if (peer.liveness.dead() && remote == peer.configured) attempt.tries_here = 1;
  attempt.refused_other_suite = drops.Get(cipe_drop_hs_other_suite);
  attempt.refused_mac1 = drops.Get(cipe_drop_hs_bad_mac1);
  attempt.refused_unknown = drops.Get(cipe_drop_hs_unknown_peer);
  attempt.wrong_psk = peer.path.drops.Get(cipe_drop_hs_wrong_psk);
  peer.attempt = attempt;
  peer.start_at = {};
  Wake(peer);
  peer.trouble.clear();
  peer.own_id_back = false;
  SendInitiation(peer);
}

// Never a stamp twice, whatever the clock does, and none that is not reserved on disk. Null: the
// disk is asked; FloorSaved goes on.
std::optional<Tai64n> Engine::TakeStamp(Peer& peer, bool floor_answered) {
  const WallTime wall = clock_.Wall();
  const std::optional<Tai64n> stamp = peer.sender->Next(*peer.stamps, wall, floor_answered);
  peer.attempt->waiting_for_floor = !stamp.has_value();
  if (stamp.has_value()) return stamp;
  peer.attempt->retry_at = clock_.Now() + protocol::kHandshakeRetry;
  if (const auto until = peer.sender->Ask(*peer.stamps, wall, peer.id()); until.has_value()) {
    ipc::Floor floor = FloorOf(peer);
    floor.sent_reserved = until->octets;
    world_.SaveFloor(peer.tunnel->id(), peer.id(), floor, true);
  }
  return std::nullopt;
}

void Engine::SendInitiation(Peer& peer, bool floor_answered) {
  Attempt& attempt = *peer.attempt;
  const Instant now = clock_.Now();
  const std::optional<Tai64n> stamp = TakeStamp(peer, floor_answered);
  if (!stamp.has_value()) return;
  DropInitiator(peer);
  handshake::InitiatorOptions options;
  options.pattern =
      peer.shared.has_value() ? protocol::Pattern::kNnPsk0 : protocol::Pattern::kIkPsk2;
  options.suite = peer.tunnel->config.suite;
  options.local = peer.tunnel->identity.get();
  options.remote_public_key = peer.config.public_key;
  options.psk = peer.config.preshared_key.has_value() ? &*peer.config.preshared_key : nullptr;
  options.shared = peer.shared.has_value() ? &*peer.shared : nullptr;
  options.parameters = OwnParameters(*peer.tunnel);
  options.timestamp = *stamp;
  options.sender_index = TakeIndex();
  options.cookie = peer.cookie.Get(now);
  auto initiator = handshake::Initiator::Create(options, rng_);
  if (!initiator.ok()) {
    GiveIndex(options.sender_index, now);
    Log(Severity::kError, peer.tunnel->config.name, ": peer ", peer.config.name, ": ",
        initiator.status().ToString());
    peer.trouble = std::string(initiator.status().message());
    peer.unusable = true;
    return AbandonAttempt(peer);
  }
  // The broker knows what was sent before anybody has it: so the next engine, or the next start,
  // goes on from here and not from the reservation.
  peer.sender->Used(*peer.stamps, *stamp);
  world_.SaveFloor(peer.tunnel->id(), peer.id(), FloorOf(peer), false);
  peer.initiator = std::make_unique<handshake::Initiator>(*std::move(initiator));
  initiating_[options.sender_index] = &peer;
  const session::Path path = PathOfNextTry(peer);
  ++attempt.initiations;
  ++attempt.tries_here;
  attempt.retry_at = now + protocol::kHandshakeRetry + Jitter(rng_);
  SendTo(peer, path, peer.initiator->frame());
  // What this host cannot even send needs no second try.
  if (!peer.send_trouble.empty() && path.remote == peer.configured) attempt.tries_here = kTries;
}

void Engine::FloorSaved(uint32_t tunnel, uint32_t id, const ipc::Floor& floor,
                        const absl::Status& status) {
  const Peer* asker = FindPeer(tunnel, id);
  if (asker == nullptr) return;
  Sender& sender = *asker->sender;
  // The answer to a question of the identity that we had before.
  if (!sender.Waits(id, Tai64n::FromSpan(floor.sent_reserved))) return;
  if (status.ok()) {
    sender.Granted(Tai64n::FromSpan(floor.sent_reserved));
  } else {
    sender.Refused(id);
  }
  // Everybody with this identity may have waited for the one answer.
  std::vector<Peer*> waiting;
  for (const auto& [other, peer] : peers_) {
    if (peer->sender.get() != &sender || !peer->attempt.has_value()) continue;
    if (peer->attempt->waiting_for_floor) waiting.push_back(peer);
  }
  std::sort(waiting.begin(), waiting.end(),
            [](const Peer* a, const Peer* b) { return a->id() < b->id(); });
  for (Peer* peer : waiting) {
    if (status.ok()) {
      peer->trouble.clear();
      SendInitiation(*peer, true);
    } else {
      // Without it a crash could repeat a time stamp, so nothing is sent; the retry timer asks
      // again.
      peer->trouble = absl::StrCat(
          "no handshake can be started while its time stamp cannot be kept: ", status.message());
    }
  }
}

void Engine::Response(Tunnel& tunnel, const session::Path& path, absl::Span<const uint8_t> frame) {
  const auto view = protocol::ParseResponse(frame);
  if (!view.ok()) return tunnel.path.drops.Add(view.reason());
  Peer* peer = PeerOfAttempt(tunnel, view->receiver_index);
  if (peer == nullptr) return tunnel.path.drops.Add(cipe_drop_hs_unknown_index);
  auto secrets = peer->initiator->ConsumeResponse(frame);
  if (!secrets.ok()) {
    if (secrets.reason() == cipe_drop_hs_wrong_psk) {
      peer->trouble = "its answer does not decrypt: the preshared keys differ";
    }
    peer->own_id_back |= secrets.reason() == cipe_drop_hs_reflected;
    return peer->path.drops.Add(secrets.reason());
  }
  // The index passes from the attempt to the session.
  initiating_.erase(peer->initiator->sender_index());
  peer->initiator.reset();
  session::Session* session = MakeSession(*peer, *secrets, clock_.Now());
  if (session == nullptr) {
    GiveIndex(view->receiver_index, clock_.Now());
    peer->path.drops.Add(cipe_drop_hs_table_full);
    return AbandonAttempt(*peer);
  }
  if (absl::Status status = StoreSession(*session, *secrets); !status.ok()) {
    Log(Severity::kError, tunnel.config.name, ": ", status.ToString());
    Retire(session);
    return AbandonAttempt(*peer);
  }
  peer->trouble.clear();
  peer->own_id_back = false;
  AbandonAttempt(*peer);
  if (path.remote == peer->configured) peer->from_book = path.remote;
  Log(Severity::kInfo, tunnel.config.name, ": session with ", peer->config.name, " at ",
      path.remote.ToString());
  InstallInitiated(*peer, *session, path);
}

void Engine::CookieReply(Tunnel& tunnel, absl::Span<const uint8_t> frame) {
  const auto view = protocol::ParseCookieReply(frame);
  if (!view.ok()) return tunnel.path.drops.Add(view.reason());
  Peer* peer = PeerOfAttempt(tunnel, view->receiver_index);
  if (peer == nullptr) return tunnel.path.drops.Add(cipe_drop_hs_unknown_index);
  const Instant now = clock_.Now();
  const auto taken = peer->initiator->ConsumeCookieReply(frame, now, peer->cookie);
  if (!taken.ok()) return peer->path.drops.Add(taken.reason());
  // The responder is busy but there: ask again soon, with the cookie. Once per attempt, so that who
  // forges cookie replies gains one frame.
  if (peer->attempt.has_value() && !std::exchange(peer->attempt->cookie_hurried, true)) {
    peer->attempt->retry_at = std::min(peer->attempt->retry_at, now + Jitter(rng_));
    Wake(*peer);
  }
}

}  // namespace cipe::engine
