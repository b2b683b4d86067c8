// A thread of the data path: an epoll loop over descriptors whose handlers run batches, and a queue
// of commands from the control thread. Between two turns it holds no pointer to a session or peer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "session/quiescent.h"

namespace cipe::dataplane {

class Worker {
 public:
  // Handles what is ready on its descriptor, at most a batch or so; returns true when there is more
  // to do at once.
  using Handler = std::function<bool(uint32_t events, Instant now)>;

  static absl::StatusOr<std::unique_ptr<Worker>> Start(const std::string& name, const Clock& clock,
                                                       session::QuiescentDomain& domain);
  ~Worker();

  // From other threads: runs `command` on the worker's thread; Call returns when it has run.
  void Post(std::function<void()> command);
  void Call(std::function<void()> command);

  // On the worker's thread only (from commands). `fd` is borrowed and unwatched before it is
  // closed.
  void Watch(int fd, uint32_t events, Handler handler);
  void Unwatch(int fd);
  // Changes what a watched descriptor is watched for; 0 rests it.
  void SetEvents(int fd, uint32_t events);
  // Called at the end of every turn, after all handlers.
  void SetEndOfTurn(std::function<void(Instant)> hook) { end_of_turn_ = std::move(hook); }

  // Turns made; a counter that stands still while work is queued is a stuck worker.
  uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }

 private:
  Worker(const Clock& clock, session::QuiescentDomain& domain)
      : clock_(clock), reader_(domain.AddReader()) {}
  void Run();
  void Turn(int timeout_ms);
  void RunCommands();

  const Clock& clock_;
  session::QuiescentDomain::Reader& reader_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> commands_;
  bool worked_ = false;  // the last look found something
  bool stop_ = false;    // guarded by mutex_
  absl::flat_hash_map<int, std::shared_ptr<Handler>> handlers_;
  std::vector<int> busy_;  // had more to do
  std::function<void(Instant)> end_of_turn_;
  std::atomic<uint64_t> turns_{0};
  std::thread thread_;
};

}  // namespace cipe::dataplane
