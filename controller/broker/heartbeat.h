// Asks the engine now and then whether it is there, and says so when it is not.
//
// Counted in beats of the broker's own loop, not in time since the last answer: where broker and
// engine stood still together (suspend, a paused container) nobody missed anything.
#pragma once

#include <cstdint>
#include <functional>

#include "base/event_loop.h"

namespace cipe::broker {

struct HeartbeatOptions {
  Duration interval = std::chrono::seconds(2);
  int patience = 5;  // beats in a row without an answer: 10 s
};

class Heartbeat {
 public:
  // `ask` sends a ping of this number; `silent` runs once, after `patience` beats without a pong.
  // `loop` must outlive this.
  Heartbeat(EventLoop& loop, const HeartbeatOptions& options,
            std::function<void(uint64_t number)> ask, std::function<void()> silent);
  ~Heartbeat() { Stop(); }
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // From anew, for an engine that just started.
  void Start();
  void Stop();
  // Any number this one sent since Start counts, however late.
  void OnPong(uint64_t number);

 private:
  void Beat();

  EventLoop& loop_;
  const HeartbeatOptions options_;
  const std::function<void(uint64_t)> ask_;
  const std::function<void()> silent_;
  TimerId timer_ = TimerId::kNone;
  uint64_t first_ = 1;   // of this Start
  uint64_t number_ = 0;  // last one sent
  bool waiting_ = false;
  int missed_ = 0;
};

}  // namespace cipe::broker
