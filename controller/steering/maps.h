// The daemon-wide BPF maps: made by the broker, written by the engine through lent descriptors
// (element operations need no privilege, only the descriptor). Nothing is pinned: the maps live as
// long as somebody holds them. Layouts and byte orders: cipe/abi/maps.h.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "cipe/abi/drop_reasons.h"
#include "cipe/abi/maps.h"

namespace cipe::steering {

// libbpf reads from /sys how many CPUs there may be, and remembers it: for who will have no /sys.
void PrepareLibrary();

// Order in which descriptors travel from broker to engine; append only.
enum class MapId : int {
  kListeners = 0,
  kPeers,
  kSessions,
  kSessionKeys,
  kLaneState,
  kDrops,
  kPeerStats,
  kControlSources,
};
inline constexpr int kMapCount = 8;

// "cipe_listeners" and so on (bpftool shows the first 15 characters).
const char* MapName(MapId id);

namespace internal {
absl::Status UpdateElement(int fd, const char* map, const void* key, const void* value,
                           uint64_t flags);
// False when there is no such entry.
absl::StatusOr<bool> LookupElement(int fd, const char* map, const void* key, void* value,
                                   uint64_t flags);
absl::StatusOr<bool> DeleteElement(int fd, const char* map, const void* key);
// All keys, one after the other; entries added or removed meanwhile may or may not be among them.
absl::StatusOr<std::vector<uint8_t>> AllKeys(int fd, const char* map, size_t key_size,
                                             size_t max_entries);
}  // namespace internal

// Typed view of a hash map; borrows the descriptor from a MapSet, which must outlive it. Each call
// is one bpf(2) system call; concurrent use from several threads and processes is safe.
// Errors: ResourceExhausted when the map is full or memory short, Internal with errno otherwise.
template <typename Key, typename Value>
class HashMap {
 public:
  HashMap(int fd, MapId id, uint64_t flags = 0) : fd_(fd), id_(id), flags_(flags) {}

  // Adds or replaces.
  absl::Status Update(const Key& key, const Value& value) const {
    return internal::UpdateElement(fd_, MapName(id_), &key, &value, flags_);
  }
  // Nullopt when there is no such entry.
  absl::StatusOr<std::optional<Value>> Lookup(const Key& key) const {
    Value value{};
    auto found = internal::LookupElement(fd_, MapName(id_), &key, &value, flags_);
    if (!found.ok()) return found.status();
    if (!*found) return std::optional<Value>();
    return std::optional<Value>(value);
  }
  // True when there was such an entry; absent is no error.
  absl::StatusOr<bool> Delete(const Key& key) const {
    return internal::DeleteElement(fd_, MapName(id_), &key);
  }
  absl::StatusOr<std::vector<Key>> Keys() const {
    auto raw = internal::AllKeys(fd_, MapName(id_), sizeof(Key), CIPE_MAX_SESSIONS);
    if (!raw.ok()) return raw.status();
    std::vector<Key> keys(raw->size() / sizeof(Key));
    if (!keys.empty()) std::memcpy(keys.data(), raw->data(), keys.size() * sizeof(Key));
    return keys;
  }
  // Calls visit(key, value) for every entry that is there from beginning to end of the walk.
  // Deleting the visited entry from within is allowed: the keys were collected before.
  absl::Status ForEach(const std::function<void(const Key&, const Value&)>& visit) const {
    auto keys = Keys();
    if (!keys.ok()) return keys.status();
    for (const Key& key : *keys) {
      auto value = Lookup(key);
      if (!value.ok()) return value.status();
      if (value->has_value()) visit(key, **value);
    }
    return absl::OkStatus();
  }

 protected:
  int fd_;
  MapId id_;
  uint64_t flags_;
};

using ListenerMap = HashMap<cipe_listener_key, cipe_listener>;
using PeerMap = HashMap<uint32_t, cipe_peer>;
using SessionMap = HashMap<uint32_t, cipe_session>;

// Key: session index (receiver index >> CIPE_LANE_BITS). Updates overwrite in place (BPF_F_LOCK): a
// plain update of a hash map leaves the old value in freed kernel memory.
class SessionKeyMap : public HashMap<uint32_t, cipe_session_key> {
 public:
  explicit SessionKeyMap(int fd);
  // Overwrites the entry with zeros, then removes it. True when there was one.
  absl::StatusOr<bool> Delete(uint32_t session) const;
  // Delete() for every entry; goes on after a failure and returns the first one.
  absl::Status WipeAll() const;
};

// Counters of cipe_drops, index is enum cipe_drop_reason, summed over CPUs.
using DropCounts = std::array<uint64_t, CIPE_DROP_REASONS>;

class MapSet {
 public:
  // Makes all maps. PermissionDenied without CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN).
  static absl::StatusOr<MapSet> Create();
  // Takes over maps made by Create() elsewhere, in MapId order. FailedPrecondition when one is of
  // another type or layout (another CIPE_ABI_VERSION); the caller then starts with new maps.
  static absl::StatusOr<MapSet> FromFds(std::vector<UniqueFd> fds);

  MapSet(MapSet&&) = default;
  MapSet& operator=(MapSet&&) = default;

  int fd(MapId id) const { return fds_[static_cast<int>(id)].get(); }
  // In MapId order, borrowed: for sending over a socket.
  std::array<int, kMapCount> Fds() const;

  ListenerMap listeners() const { return {fd(MapId::kListeners), MapId::kListeners}; }
  PeerMap peers() const { return {fd(MapId::kPeers), MapId::kPeers}; }
  SessionMap sessions() const { return {fd(MapId::kSessions), MapId::kSessions}; }
  SessionKeyMap session_keys() const { return SessionKeyMap(fd(MapId::kSessionKeys)); }

  // What the XDP program dropped, all carriers together. Only reasons 1-31 can be non-zero.
  absl::StatusOr<DropCounts> Drops() const;
  // Frames and octets (whole Ethernet frames) steered to AF_XDP for a peer; zeros if none yet.
  absl::StatusOr<cipe_peer_stats> PeerStats(uint32_t peer) const;
  absl::Status DeletePeerStats(uint32_t peer) const;

 private:
  MapSet() = default;
  std::array<UniqueFd, kMapCount> fds_;
};

// cipe_lane_state mapped into this process: CIPE_MAX_LANE_SLOTS entries, stores without a system
// call, contents survive the writer's death. One thread writes a given field of a given slot.
class LaneStateView {
 public:
  static absl::StatusOr<LaneStateView> Map(const MapSet& maps);
  LaneStateView(LaneStateView&& other) noexcept;
  LaneStateView& operator=(LaneStateView&& other) noexcept;
  ~LaneStateView();

  uint32_t slots() const { return CIPE_MAX_LANE_SLOTS; }
  // Raw pointer for workers; slot < slots().
  cipe_lane_state* slot(uint32_t slot) const { return slots_ + slot; }

  // Counters below `counter` may have been used: store before the first of them is sent.
  void StoreSendReserved(uint32_t slot, uint64_t counter) {
    std::atomic_ref(slots_[slot].send_reserved).store(counter, std::memory_order_release);
  }
  // Greatest counter delivered plus one: store before the packet is delivered.
  void StoreReceiveGreatest(uint32_t slot, uint64_t next) {
    std::atomic_ref(slots_[slot].receive_greatest).store(next, std::memory_order_release);
  }
  uint64_t LoadSendReserved(uint32_t slot) const {
    return std::atomic_ref(slots_[slot].send_reserved).load(std::memory_order_acquire);
  }
  uint64_t LoadReceiveGreatest(uint32_t slot) const {
    return std::atomic_ref(slots_[slot].receive_greatest).load(std::memory_order_acquire);
  }
  // Before a slot is given to another session.
  void Clear(uint32_t slot) {
    StoreSendReserved(slot, 0);
    StoreReceiveGreatest(slot, 0);
  }

 private:
  explicit LaneStateView(cipe_lane_state* slots) : slots_(slots) {}
  cipe_lane_state* slots_ = nullptr;
};

// Key for a listener on `local` (port in host order). `vlan`: 0 untagged, VID of a single tag, or
// outer VID << 16 | inner VID.
cipe_listener_key ListenerKey(const Endpoint& local, uint32_t vlan);

}  // namespace cipe::steering
