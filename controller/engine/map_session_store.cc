#include "engine/map_session_store.h"

#include <cstring>

#include "base/bytes.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "crypto/aead.h"

namespace cipe::engine {
namespace {

using session::Session;
using session::SessionSetup;
using session::Slot;

cipe_session EntryOf(const Session& session) {
  const SessionSetup& s = session.setup();
  cipe_session entry{};
  entry.peer = s.path->peer;
  entry.tunnel = s.path->tunnel;
  entry.lanes = static_cast<uint32_t>(s.receive_lanes);
  entry.flags = (s.initiator ? CIPE_SESSION_INITIATOR : 0) |
                (session.confirmed ? CIPE_SESSION_CONFIRMED : 0) |
                static_cast<uint32_t>(session.slot.load()) << CIPE_SESSION_SLOT_SHIFT;
  entry.generation = s.generation;
  entry.lane_slot = s.lane_slot;
  entry.lane_slots = static_cast<uint32_t>(std::max(s.send_lanes, s.receive_lanes));
  return entry;
}

// What a sealed key belongs to: a key moved to another entry does not open.
std::array<uint8_t, 8> AssociatedData(uint32_t base, uint32_t remote_index) {
  std::array<uint8_t, 8> ad;
  StoreLe32(ad.data(), base);
  StoreLe32(ad.data() + 4, remote_index);
  return ad;
}

void Complain(const absl::Status& status) {
  if (!status.ok()) Log(Severity::kError, "session map: ", status.ToString());
}

}  // namespace

absl::StatusOr<std::unique_ptr<MapSessionStore>> MapSessionStore::Create(steering::MapSet maps,
                                                                         Secret<32> seal_key,
                                                                         Rng& rng) {
  CIPE_ASSIGN_OR_RETURN(auto lanes, steering::LaneStateView::Map(maps));
  return std::unique_ptr<MapSessionStore>(
      new MapSessionStore(std::move(maps), std::move(lanes), std::move(seal_key), rng));
}

absl::Status MapSessionStore::Save(const Session& session, const Secret<32>& send,
                                   const Secret<32>& receive) {
  const SessionSetup& s = session.setup();
  cipe_session_key key{};
  key.version = CIPE_ABI_VERSION;
  key.remote_index = s.remote_index;
  key.created_boot_ns = static_cast<uint64_t>(ToNanos(s.created));
  key.suite = static_cast<uint8_t>(s.suite);
  key.send_lanes = static_cast<uint8_t>(s.send_lanes);
  key.peer_mtu = s.peer_mtu;
  std::memcpy(key.tie_break, s.tie_break.data(), sizeof key.tie_break);
  rng_.Fill(absl::MakeSpan(key.nonce));
  SecretBytes both = SecretBytes(64);
  std::memcpy(both.UnsafeMutableBytes().data(), send.UnsafeBytes().data(), 32);
  std::memcpy(both.UnsafeMutableBytes().data() + 32, receive.UnsafeBytes().data(), 32);
  const auto ad = AssociatedData(session.base(), s.remote_index);
  SealOnce(Suite::kAesGcmSha256, seal_key_, key.nonce, ad, both.UnsafeBytes(), key.sealed);
  CIPE_RETURN_IF_ERROR(maps_.session_keys().Update(session.base(), key));
  return maps_.sessions().Update(session.base(), EntryOf(session));
}

absl::Status MapSessionStore::UpdateState(const Session& session) {
  return maps_.sessions().Update(session.base(), EntryOf(session));
}

void MapSessionStore::Erase(uint32_t base) {
  Complain(maps_.sessions().Delete(base).status());
  Complain(maps_.session_keys().Delete(base).status());
}

void MapSessionStore::SavePeer(uint32_t peer, const cipe_peer& value) {
  Complain(maps_.peers().Update(peer, value));
}

bool MapSessionStore::LoadPeer(uint32_t peer, cipe_peer* value) {
  const auto found = maps_.peers().Lookup(peer);
  if (!found.ok() || !found->has_value()) return false;
  *value = **found;
  return true;
}

void MapSessionStore::ErasePeer(uint32_t peer) {
  Complain(maps_.peers().Delete(peer).status());
  Complain(maps_.DeletePeerStats(peer));
}

bool MapSessionStore::Open(uint32_t base, const cipe_session& entry, const cipe_session_key& key,
                           StoredSession* out) const {
  const uint32_t slots = entry.lane_slots;
  if (key.version != CIPE_ABI_VERSION || entry.lanes < 1 || entry.lanes > CIPE_MAX_LANES ||
      key.send_lanes < 1 || key.send_lanes > CIPE_MAX_LANES ||
      slots != std::max<uint32_t>(entry.lanes, key.send_lanes) ||
      entry.lane_slot > CIPE_MAX_LANE_SLOTS - slots || key.suite < 1 || key.suite > 2) {
    return false;
  }
  SecretBytes both = SecretBytes(64);
  if (!OpenOnce(Suite::kAesGcmSha256, seal_key_, key.nonce, AssociatedData(base, key.remote_index),
                key.sealed, both.UnsafeMutableBytes().data())) {
    return false;
  }
  out->send = Secret<32>::FromSpan(both.UnsafeBytes().subspan(0, 32));
  out->receive = Secret<32>::FromSpan(both.UnsafeBytes().subspan(32, 32));
  out->peer = entry.peer;
  out->tunnel = entry.tunnel;
  out->slot = static_cast<Slot>((entry.flags >> CIPE_SESSION_SLOT_SHIFT) & 3);
  out->confirmed = (entry.flags & CIPE_SESSION_CONFIRMED) != 0;
  SessionSetup& s = out->setup;
  s.local_index = base << CIPE_LANE_BITS;
  s.remote_index = key.remote_index;
  s.suite = static_cast<Suite>(key.suite);
  s.initiator = (entry.flags & CIPE_SESSION_INITIATOR) != 0;
  s.created = FromNanos(static_cast<int64_t>(key.created_boot_ns));
  s.send_lanes = key.send_lanes;
  s.receive_lanes = static_cast<int>(entry.lanes);
  s.generation = entry.generation;
  s.lane_slot = entry.lane_slot;
  s.peer_mtu = key.peer_mtu;
  std::memcpy(s.tie_break.data(), key.tie_break, sizeof key.tie_break);
  return true;
}

std::vector<StoredSession> MapSessionStore::Load() {
  std::vector<StoredSession> found;
  std::vector<uint32_t> broken;
  Complain(maps_.sessions().ForEach([&](uint32_t base, const cipe_session& entry) {
    const auto key = maps_.session_keys().Lookup(base);
    StoredSession stored;
    if (key.ok() && key->has_value() && Open(base, entry, **key, &stored)) {
      found.push_back(std::move(stored));
    } else {
      broken.push_back(base);
    }
  }));
  for (const uint32_t base : broken) {
    Log(Severity::kWarning, "session ", base, ": stored state does not open, discarded");
    Erase(base);
  }
  // Keys whose session entry never came, or went first.
  Complain(maps_.session_keys().ForEach([&](uint32_t base, const cipe_session_key&) {
    const auto entry = maps_.sessions().Lookup(base);
    if (entry.ok() && !entry->has_value()) Complain(maps_.session_keys().Delete(base).status());
  }));
  return found;
}

}  // namespace cipe::engine
