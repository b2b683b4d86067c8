#include "broker/floor_writer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace cipe::broker {

FloorWriter::FloorWriter(EventLoop& loop, Save save)
    : loop_(loop), save_(std::move(save)), thread_([this] { Work(); }) {}

FloorWriter::~FloorWriter() {
  alive_.reset();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

absl::Status FloorWriter::Changed(Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (done != nullptr && waiting_.size() >= kMaxQuestions) {
      return absl::ResourceExhaustedError(
          absl::StrCat("too many updates of time stamps wait for the disk: ", waiting_.size()));
    }
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!std::exchange(changed_, true)) due_ = now + kLazily;
    if (done != nullptr) {
      due_ = std::min(due_, now);
      waiting_.push_back(std::move(done));
    }
  }
  wake_.notify_one();
  return absl::OkStatus();
}

void FloorWriter::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (!changed_) {
      if (ending_) return;
      wake_.wait(lock);
    } else if (!ending_ && due_ > std::chrono::steady_clock::now()) {
      wake_.wait_until(lock, SteadyTime(due_));
    } else {
      const bool last = ending_;
      Write(lock);
      if (last) return;
    }
  }
}

void FloorWriter::Write(std::unique_lock<std::mutex>& lock) {
  std::vector<Done> told = std::exchange(waiting_, {});
  changed_ = false;
  lock.unlock();
  absl::Status status = save_();
  if (!status.ok()) Log(Severity::kError, status.message());
  if (!told.empty()) {
    loop_.Post([told = std::move(told), status, alive = watch_] {
      // A callback may end the writer.
      for (const Done& done : told) {
        if (alive.expired()) return;
        done(status);
      }
    });
  }
  lock.lock();
  // The file is as it was: not only the next change has to try again.
  if (!status.ok() && !std::exchange(changed_, true)) {
    due_ = std::chrono::steady_clock::now() + kAgain;
  }
}

}  // namespace cipe::broker
