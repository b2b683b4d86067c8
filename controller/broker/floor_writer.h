// Time stamp floors on their way to the disk, in a thread of its own: fsync(2) may take long, and
// the loop must not wait for it however many peers shake hands at once.
//
// Updates of a tunnel are gathered and its file is written once for all of them, the latest value
// of each peer. One that somebody waits for goes to the disk as soon as the write before it has
// ended; others within a second. What is kept is bounded: one floor and at most four
// questions per peer.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "broker/state_dir.h"

namespace cipe::broker {

class FloorWriter {
 public:
  using Done = std::function<void(absl::Status)>;
  using Save = std::function<absl::Status(const std::string& tunnel, const Floors& floors)>;
  static constexpr auto kLazily = std::chrono::seconds(1);

  // `loop` must outlive the writer. `save` runs in the other thread.
  FloorWriter(EventLoop& loop, Save save);
  // Writes what is left, then ends the thread; nobody is told any more.
  ~FloorWriter();
  FloorWriter(const FloorWriter&) = delete;
  FloorWriter& operator=(const FloorWriter&) = delete;

  // What the file of the tunnel holds, before its first update.
  void Start(const std::string& tunnel, Floors floors);
  // Floors that the file does not hold yet; null when it holds all.
  std::optional<Floors> Unwritten(const std::string& tunnel);

  // `done` (may be null) runs on the loop's thread when this floor, or one after it of the same
  // peer, is on the disk or could not be put there. ResourceExhausted, and `done` never runs, when
  // more wait already than the tunnel has peers, four times over.
  absl::Status Update(const std::string& tunnel, const std::string& peer, const ipc::Floor& floor,
                      Done done);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;  // the thread sleeps by it
  struct Entry {
    Floors floors;
    std::vector<Done> waiting;
    bool changed = false;  // since the last write began
    bool written = true;   // the file holds `floors`
    SteadyTime due{};      // of the next write, when changed
  };
  void Work();
  void Write(std::unique_lock<std::mutex>& lock, const std::string& tunnel, Entry& entry);

  EventLoop& loop_;
  const Save save_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Entry> entries_;  // guarded, as is ending_; entries are never erased
  bool ending_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // the loop's thread only
  const std::weak_ptr<bool> watch_ = alive_;                    // of alive_, for the other thread
  std::thread thread_;
};

}  // namespace cipe::broker
