#include "broker/heartbeat.h"

#include <utility>

namespace cipe::broker {

Heartbeat::Heartbeat(EventLoop& loop, const HeartbeatOptions& options,
                     std::function<void(uint64_t)> ask, std::function<void()> silent)
    : loop_(loop), options_(options), ask_(std::move(ask)), silent_(std::move(silent)) {}

void Heartbeat::Start() {
  Stop();
  first_ = number_ + 1;
  waiting_ = false;
  missed_ = 0;
  timer_ = loop_.After(options_.interval, [this] { Beat(); });
}

void Heartbeat::Stop() { loop_.Cancel(std::exchange(timer_, TimerId::kNone)); }

void Heartbeat::OnPong(uint64_t number) {
  if (number < first_ || number > number_) return;
  waiting_ = false;
  missed_ = 0;
}

void Heartbeat::Beat() {
  timer_ = TimerId::kNone;
  if (waiting_ && ++missed_ >= options_.patience) return silent_();
  timer_ = loop_.After(options_.interval, [this] { Beat(); });
  waiting_ = true;
  // Last: an engine that takes no messages may be ended in here, which stops this.
  ask_(++number_);
}

}  // namespace cipe::broker
