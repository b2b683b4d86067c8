// The keys of one handshake and what has been done with them. Made and wiped by the control thread;
// lanes are used by workers under the lane's lock, one batch at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "base/spin_lock.h"
#include "cipe/abi/maps.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "crypto/suite.h"
#include "session/peer_path.h"
#include "session/replay_window.h"

namespace cipe::session {

// Packet and block limits of one lane key (docs/protocol.md, "Limits").
struct KeyLimits {
  uint64_t rekey_packets, stop_packets;
  uint64_t rekey_blocks, stop_blocks;
  static KeyLimits For(Suite suite);
};

class SendLane {
 public:
  // Takes the next counter, raising the reservation in the shared map before it is used.
  // nullopt: the key is exhausted. `size` is the plaintext's, in octets.
  std::optional<uint64_t> TakeCounter(uint32_t size);
  bool WantsRekey() const { return wants_rekey_.load(std::memory_order_relaxed); }
  uint64_t next() const { return next_.load(std::memory_order_relaxed); }

  SpinLock lock;  // held around TakeCounter and use of `key`
  std::optional<AeadKey> key;

 private:
  friend class Session;
  std::atomic<uint64_t> next_{0};  // atomic for readers without the lock
  uint64_t reserved_ = 0;
  uint64_t blocks_ = 0;
  std::atomic<bool> wants_rekey_{false};
  KeyLimits limits_{};
  cipe_lane_state* state_ = nullptr;
};

class ReceiveLane {
 public:
  // Stores the greatest counter accepted so far where the next engine finds it; before delivery.
  void Publish();
  uint64_t greatest() const { return greatest_.load(std::memory_order_relaxed); }

  SpinLock lock;  // held around everything below
  std::optional<AeadKey> key;
  ReplayWindow<8192> window;
  void NoteAccepted(uint64_t counter) {
    if (counter + 1 > greatest_.load(std::memory_order_relaxed)) {
      greatest_.store(counter + 1, std::memory_order_relaxed);
    }
  }

 private:
  friend class Session;
  std::atomic<uint64_t> greatest_{0};  // plus one; 0 = none
  cipe_lane_state* state_ = nullptr;
};

enum class Slot : uint8_t { kPrevious = 0, kCurrent = 1, kNext = 2, kNone = 3 };

// What a session is made from.
struct SessionSetup {
  uint32_t local_index = 0;  // lane bits zero
  uint32_t remote_index = 0;
  Suite suite = Suite::kAesGcmSha256;
  bool initiator = false;
  Instant created{};
  int send_lanes = 1;
  int receive_lanes = 1;
  uint64_t generation = 0;
  uint32_t lane_slot = 0;
  cipe_lane_state* lane_state = nullptr;  // first of max(send, receive) entries; zeroed, or resumed
  bool resume = false;                    // counters go on from lane_state
  PeerPath* path = nullptr;               // outlives the session
  std::array<uint8_t, 32> tie_break{};
  uint32_t peer_mtu = 0;
};

class Session {
 public:
  // `send` and `receive` give the key of each lane. Fails when the AEAD refuses a key.
  static absl::StatusOr<std::unique_ptr<Session>> Create(const SessionSetup& setup,
                                                         absl::Span<const Secret<32>> send,
                                                         absl::Span<const Secret<32>> receive,
                                                         AeadBackend backend);

  const SessionSetup& setup() const { return setup_; }
  PeerPath& path() const { return *setup_.path; }
  uint32_t base() const { return setup_.local_index >> CIPE_LANE_BITS; }
  bool Expired(Instant now) const { return now >= expires_; }
  Instant expires() const { return expires_; }

  int send_lanes() const { return setup_.send_lanes; }
  int receive_lanes() const { return setup_.receive_lanes; }
  SendLane& send_lane(int lane) { return send_[lane]; }
  ReceiveLane& receive_lane(int lane) { return receive_[lane]; }

  // Written by the control thread; workers use it to report only what matters.
  std::atomic<Slot> slot{Slot::kNone};
  std::atomic<bool> confirmed{false};         // the peer has shown that it has the keys
  std::atomic<bool> confirm_reported{false};  // set by the first worker to see a frame
  std::atomic<bool> rekey_reported{false};

  std::atomic<Session*> next_in_bucket{nullptr};  // SessionTable's

 private:
  explicit Session(const SessionSetup& setup) : setup_(setup) {}
  SessionSetup setup_;
  Instant expires_;
  std::unique_ptr<SendLane[]> send_;
  std::unique_ptr<ReceiveLane[]> receive_;
};

}  // namespace cipe::session
