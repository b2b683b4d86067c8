#include "engine/liveness.h"

#include <algorithm>
#include <utility>

namespace cipe::engine {

// What has become of the request that is under way.
void Liveness::Judge(const LivenessSettings& settings, Instant heard, Instant now, Step* step) {
  if (heard >= waiting_->sent) misses_ = 0;
  if (settings.timeout == Duration::zero() || now - waiting_->sent < settings.timeout) return;
  if (heard < waiting_->sent) {
    ++misses_;
    // While it may still be a lost packet, know soon; a dead one is asked at leisure.
    if (!dead_ && misses_ < kMisses) due_ = now;
  }
  waiting_.reset();
  if (dead_ || misses_ < kMisses) return;
  dead_ = step->died = true;
  died_ = now;
}

Liveness::Step Liveness::Look(const LivenessSettings& settings, bool can_send, Instant heard,
                              Instant now) {
  Step step;
  step.next = Instant::max();
  if (settings.ping == Duration::zero()) {
    step.revived = dead_;
    *this = {};
    return step;
  }
  if (dead_ && heard > died_) step.revived = Alive();
  if (!can_send) {
    waiting_.reset();
    return step;
  }
  if (waiting_.has_value()) Judge(settings, heard, now, &step);
  if (!due_.has_value()) due_ = now + settings.spread;
  const bool free = !waiting_.has_value() || settings.timeout == Duration::zero();
  step.ping = free && now >= *due_;
  if (step.ping) due_ = now + settings.ping;
  step.next = *due_;
  if (settings.timeout > Duration::zero()) {
    // While one is under way there is no other, even when that is due.
    if (waiting_.has_value()) step.next = waiting_->sent + settings.timeout;
    if (step.ping) step.next = std::min(step.next, now + settings.timeout);
  }
  return step;
}

void Liveness::Sent(uint64_t id, Instant now) { waiting_ = Request{id, now}; }

bool Liveness::Answered(uint64_t id, Instant now) {
  if (!waiting_.has_value() || waiting_->id != id) return false;
  round_trip_ = now - waiting_->sent;
  waiting_.reset();
  misses_ = 0;
  return true;
}

bool Liveness::Alive() {
  waiting_.reset();
  misses_ = 0;
  return std::exchange(dead_, false);
}

}  // namespace cipe::engine
