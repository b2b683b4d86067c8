// Dead-peer detection: when to send an echo request inside the tunnel, and what its answer, or the
// lack of one, means. Pure; the engine sends, and tells what it heard.
//
//   ping     an echo request `ping` after the one before; at most one is under way
//   miss     `timeout` after a request, when nothing authenticated was heard since it was sent: the
//            next one follows at once
//   dead     kMisses misses in a row, so at most ping + kMisses * timeout after the last sign of
//            life
//   alive    anything authenticated, under whatever session
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace cipe::engine {

struct LivenessSettings {
  Duration ping{};     // zero: off
  Duration timeout{};  // zero: answers are measured, misses do not count
  Duration spread{};   // before the first request, so that not all peers have theirs at once
};

class Liveness {
 public:
  static constexpr int kMisses = 3;

  struct Step {
    bool ping = false;     // send a request now, then say Sent
    bool died = false;     // kMisses were reached just now
    bool revived = false;  // it is not dead any more
    Instant next{};        // look again then at the latest
  };
  // `can_send`: there is a session. `heard`: when a frame of the peer was opened last.
  Step Look(const LivenessSettings& settings, bool can_send, Instant heard, Instant now);
  void Sent(uint64_t id, Instant now);
  // False: no request of ours that waits for an answer has this number.
  bool Answered(uint64_t id, Instant now);
  // A handshake ended well. True when it had been dead.
  bool Alive();

  bool dead() const { return dead_; }
  // Of the last request that was answered; nullopt before the first.
  std::optional<Duration> round_trip() const { return round_trip_; }

 private:
  struct Request {
    uint64_t id = 0;
    Instant sent{};
  };
  void Judge(const LivenessSettings& settings, Instant heard, Instant now, Step* step);

  std::optional<Request> waiting_;
  std::optional<Instant> due_;  // of the next request
  int misses_ = 0;
  bool dead_ = false;
  Instant died_{};
  std::optional<Duration> round_trip_;
};

}  // namespace cipe::engine
