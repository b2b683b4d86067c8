// What workers know of a peer: where to send, under which session, and the counters both sides
// keep. Written by the control thread unless a comment says otherwise; read by every worker.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/ip_address.h"
#include "base/spin_lock.h"
#include "cipe/abi/drop_reasons.h"

namespace cipe::session {

class Session;

// Dense positions of the sparse numbers of drop_reasons.def, so that a peer's counters stay small.
namespace internal {
inline constexpr uint16_t kReasons[] = {
#define CIPE_DROP(number, name, sentence) number,
#include "cipe/abi/drop_reasons.def"
#undef CIPE_DROP
};
inline constexpr size_t kReasonCount = sizeof kReasons / sizeof kReasons[0];
constexpr auto MakePositions() {
  std::array<uint8_t, CIPE_DROP_REASONS> positions{};
  for (size_t i = 0; i < kReasonCount; ++i) positions[kReasons[i]] = static_cast<uint8_t>(i);
  return positions;
}
inline constexpr auto kPositions = MakePositions();
}  // namespace internal

// Counts per reason, from any thread. Most peers never drop anything, so the counters are made with
// the first one counted.
class DropCounters {
 public:
  DropCounters() = default;
  DropCounters(const DropCounters&) = delete;
  DropCounters& operator=(const DropCounters&) = delete;
  ~DropCounters() { delete counts_.load(std::memory_order_relaxed); }

  void Add(int reason, uint64_t n = 1) {
    Counts* counts = counts_.load(std::memory_order_acquire);
    if (counts == nullptr) counts = Make();
    (*counts)[internal::kPositions[reason]].fetch_add(n, std::memory_order_relaxed);
  }
  uint64_t Get(int reason) const {
    const Counts* counts = counts_.load(std::memory_order_acquire);
    if (counts == nullptr) return 0;
    return (*counts)[internal::kPositions[reason]].load(std::memory_order_relaxed);
  }
  bool any() const { return counts_.load(std::memory_order_acquire) != nullptr; }

 private:
  using Counts = std::array<std::atomic<uint64_t>, internal::kReasonCount>;
  Counts* Make() {
    auto made = std::make_unique<Counts>();
    Counts* there = nullptr;
    const bool first =
        counts_.compare_exchange_strong(there, made.get(), std::memory_order_acq_rel);
    return first ? made.release() : there;
  }
  std::atomic<Counts*> counts_{nullptr};
};

// A UDP path: the peer's address and ours. `local` unset lets the kernel choose.
struct Path {
  Endpoint remote;
  IpAddress local;
  friend bool operator==(const Path&, const Path&) = default;
};

class PathCell {
 public:
  Path Get() const {
    std::lock_guard lock(lock_);
    return path_;
  }
  void Set(const Path& path) {
    std::lock_guard lock(lock_);
    path_ = path;
  }

 private:
  mutable SpinLock lock_;
  Path path_;
};

struct Traffic {
  std::atomic<uint64_t> rx_bytes{0}, tx_bytes{0};  // inner octets
  std::atomic<uint64_t> rx_packets{0}, tx_packets{0};
};

struct PeerPath {
  uint32_t peer = 0;
  uint32_t tunnel = 0;

  std::atomic<Session*> current{nullptr};  // to send on; null while there is none
  PathCell path;
  // Greatest inner packet the peer takes, octets; kAnyMtu until it has said so.
  static constexpr uint32_t kAnyMtu = UINT32_MAX;
  std::atomic<uint32_t> mtu{kAnyMtu};
  // Greatest inner packet that fits the way to the peer in one piece, at most `mtu`.
  std::atomic<uint32_t> limit{kAnyMtu};

  // CLOCK_BOOTTIME nanoseconds, 0 = never; written by workers.
  std::atomic<int64_t> last_data_sent{0};  // frames with an inner packet
  std::atomic<int64_t> last_sent{0};       // any authenticated frame
  std::atomic<int64_t> last_data_received{0};
  std::atomic<int64_t> last_received{0};

  std::atomic<bool> handshake_wanted{false};  // set by workers, cleared by the control thread
  Traffic traffic;
  DropCounters drops;
};

}  // namespace cipe::session
