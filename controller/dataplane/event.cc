#include "dataplane/event.h"

#include <unistd.h>

namespace cipe::dataplane {

bool EventQueue::Push(const Event& event) {
  bool was_empty;
  {
    std::lock_guard lock(mutex_);
    if (events_.size() >= capacity_) return false;
    was_empty = events_.empty();
    events_.push_back(event);
  }
  if (was_empty && wake_ >= 0) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_, &one, sizeof one);
  }
  return true;
}

void EventQueue::Take(std::vector<Event>* out) {
  out->clear();
  std::lock_guard lock(mutex_);
  out->swap(events_);
}

}  // namespace cipe::dataplane
