// Time stamp floors on their way to the disk, in a thread of its own: fsync(2) may take long, and
// the loop must not wait for it however many peers shake hands at once.
//
// Changes are gathered and the file is written once for all of them. One that somebody waits for
// goes to the disk as soon as the write before it has ended; others within a second.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/event_loop.h"

namespace cipe::broker {

class FloorWriter {
 public:
  using Done = std::function<void(absl::Status)>;
  // Writes what is to be kept as of now.
  using Save = std::function<absl::Status()>;
  static constexpr auto kLazily = std::chrono::seconds(1);
  static constexpr auto kAgain = std::chrono::seconds(5);  // after a failure
  // An honest engine has one question per identity under way, and once more after it died.
  static constexpr size_t kMaxQuestions = 1 << 17;

  // `loop` must outlive the writer. `save` runs in the other thread.
  FloorWriter(EventLoop& loop, Save save);
  // Writes what is left, then ends the thread; nobody is told any more.
  ~FloorWriter();
  FloorWriter(const FloorWriter&) = delete;
  FloorWriter& operator=(const FloorWriter&) = delete;

  // What `save` writes has changed. `done` (may be null) runs on the loop's thread when a write
  // that began after this call has ended, with its result. ResourceExhausted, and `done` never
  // runs, when kMaxQuestions wait already.
  absl::Status Changed(Done done);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;  // the thread sleeps by it
  void Work();
  void Write(std::unique_lock<std::mutex>& lock);

  EventLoop& loop_;
  const Save save_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded.
  std::vector<Done> waiting_;
  bool changed_ = false;  // since the last write began, or that failed
  SteadyTime due_{};      // of the next write, when changed
  bool ending_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // the loop's thread only
  const std::weak_ptr<bool> watch_ = alive_;                    // of alive_, for the other thread
  std::thread thread_;
};

}  // namespace cipe::broker
