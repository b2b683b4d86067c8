// One thread's event loop over epoll(7): descriptors, one-shot timers, and work from other threads.
//
// Everything but Post and Stop belongs to the thread that calls Run, and callbacks run there, one
// at a time. A callback may watch, unwatch, start and cancel whatever it likes, itself included.
// Timers follow the Clock's Now(); suspended time counts (timerfd on CLOCK_BOOTTIME,
// timerfd_create(2)), so that a key's end of life is not slept through.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"

namespace cipe {

enum class TimerId : uint64_t { kNone = 0 };

class EventLoop {
 public:
  using Callback = std::function<void()>;
  using FdCallback = std::function<void(uint32_t events)>;  // EPOLLIN | EPOLLHUP ...

  // `clock` must outlive the loop. Fails with the kernel's reason when descriptors run out.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create(const Clock& clock);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Level-triggered. The loop does not own `fd`: Unwatch it before closing it. Watching a
  // descriptor again replaces its events and callback.
  absl::Status Watch(int fd, uint32_t events, FdCallback callback);
  // Other events, same callback. NotFound when `fd` is not watched.
  absl::Status SetEvents(int fd, uint32_t events);
  // Its callback will not run again, not even for events already fetched. Unknown ones are ignored.
  void Unwatch(int fd);

  // Runs `callback` once, at `when` or as soon after as the loop gets to it; at once when it is
  // past. Timers of the same instant run in the order they were made.
  TimerId At(Instant when, Callback callback);
  TimerId After(Duration delay, Callback callback) {
    return At(Now() + delay, std::move(callback));
  }
  // False when it ran already, was cancelled, or is kNone.
  bool Cancel(TimerId id);

  // From any thread: runs `callback` on the loop's thread, in order of posting. What is still
  // queued when the loop is destroyed is dropped unrun.
  void Post(Callback callback);

  // Until Stop. Returns an error only when epoll itself fails.
  absl::Status Run();
  // From any thread, also before Run; each Stop ends one Run.
  void Stop();
  // One turn: waits at most `max_wait` for something to do (zero: not at all), does it, returns.
  absl::Status RunOnce(Duration max_wait);

  Instant Now() const { return clock_.Now(); }
  const Clock& clock() const { return clock_; }

 private:
  struct Watched {
    uint64_t token = 0;
    std::shared_ptr<FdCallback> callback;
  };
  using TimerKey = std::pair<Instant, uint64_t>;

  EventLoop(const Clock& clock, UniqueFd epoll, UniqueFd wakeup, UniqueFd timer);
  absl::Status Control(int operation, int fd, uint32_t events, uint64_t token);
  void ArmTimer();
  void Dispatch(const epoll_event& event);
  void RunPosted();
  void RunTimers();
  void Wake();

  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wakeup_;  // eventfd(2)
  UniqueFd timer_;   // timerfd, armed for the earliest timer
  uint64_t next_token_;
  absl::flat_hash_map<int, Watched> watched_;
  absl::flat_hash_map<uint64_t, int> fd_of_token_;

  uint64_t next_timer_ = 1;
  std::map<TimerKey, Callback> timers_;
  absl::flat_hash_map<uint64_t, Instant> timer_when_;
  Instant armed_for_{};
  bool armed_ = false;

  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<Callback> posted_;  // guarded by mutex_
};

}  // namespace cipe
