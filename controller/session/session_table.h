// Receiver index -> session. One writer (the control thread), lock-free readers (workers), who must
// be readers of the QuiescentDomain through which removed sessions are freed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "session/session.h"

namespace cipe::session {

class SessionTable {
 public:
  SessionTable() : buckets_(kBuckets) {}
  ~SessionTable();

  // `index` as on the wire, lane bits and all.
  Session* Find(uint32_t index) const {
    const uint32_t base = index >> CIPE_LANE_BITS;
    Session* s = buckets_[base % kBuckets].load(std::memory_order_acquire);
    while (s != nullptr && s->base() != base) s = s->next_in_bucket.load(std::memory_order_acquire);
    return s;
  }

  // Owns the session from here on. Its index must not be in the table.
  Session* Insert(std::unique_ptr<Session> session);
  // Takes it out; the caller retires it.
  std::unique_ptr<Session> Remove(Session* session);
  size_t size() const { return size_; }

 private:
  static constexpr uint32_t kBuckets = 1 << 15;
  std::vector<std::atomic<Session*>> buckets_;
  size_t size_ = 0;
};

}  // namespace cipe::session
