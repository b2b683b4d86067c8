// SessionStore over the BPF maps that the broker lends.
#pragma once

#include <vector>

#include "base/rng.h"
#include "engine/session_store.h"
#include "steering/maps.h"

namespace cipe::engine {

class MapSessionStore final : public SessionStore {
 public:
  // `seal_key` protects key octets from tools that dump maps; broker and engine alone hold it.
  static absl::StatusOr<std::unique_ptr<MapSessionStore>> Create(steering::MapSet maps,
                                                                 Secret<32> seal_key, Rng& rng);

  cipe_lane_state* lane_state() override { return lanes_.slot(0); }
  absl::Status Save(const session::Session& session, const Secret<32>& send,
                    const Secret<32>& receive) override;
  absl::Status UpdateState(const session::Session& session) override;
  void Erase(uint32_t base) override;
  void SavePeer(uint32_t peer, const cipe_peer& value) override;
  bool LoadPeer(uint32_t peer, cipe_peer* value) override;
  void ErasePeer(uint32_t peer) override;
  std::vector<StoredSession> Load() override;

  const steering::MapSet& maps() const { return maps_; }

 private:
  MapSessionStore(steering::MapSet maps, steering::LaneStateView lanes, Secret<32> seal_key,
                  Rng& rng)
      : maps_(std::move(maps)),
        lanes_(std::move(lanes)),
        seal_key_(std::move(seal_key)),
        rng_(rng) {}
  bool Open(uint32_t base, const cipe_session& entry, const cipe_session_key& key,
            StoredSession* out) const;

  steering::MapSet maps_;
  steering::LaneStateView lanes_;
  Secret<32> seal_key_;
  Rng& rng_;
};

}  // namespace cipe::engine
