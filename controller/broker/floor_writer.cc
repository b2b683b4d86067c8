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

void FloorWriter::Start(const std::string& tunnel, Floors floors) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[tunnel];
  if (entry.written && !entry.changed) entry.floors = std::move(floors);
}

std::optional<Floors> FloorWriter::Unwritten(const std::string& tunnel) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(tunnel);
  if (it == entries_.end() || (it->second.written && !it->second.changed)) return std::nullopt;
  return it->second.floors;
}

absl::Status FloorWriter::Update(const std::string& tunnel, const std::string& peer,
                                 const ipc::Floor& floor, Done done) {
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[tunnel];
    entry.floors[peer] = floor;
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!std::exchange(entry.changed, true)) entry.due = now + kLazily;
    if (done) {
      // An honest engine asks once per peer, and once more after it died.
      if (entry.waiting.size() >= 4 * entry.floors.size()) {
        return absl::ResourceExhaustedError(
            absl::StrCat("too many updates of the time stamps of tunnel ", tunnel, " wait"));
      }
      entry.due = std::min(entry.due, now);
      entry.waiting.push_back(std::move(done));
    }
  }
  wake_.notify_one();
  return absl::OkStatus();
}

void FloorWriter::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    auto first = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (!it->second.changed) continue;
      if (first == entries_.end() || it->second.due < first->second.due) first = it;
    }
    if (first == entries_.end()) {
      if (ending_) return;
      wake_.wait(lock);
    } else if (!ending_ && first->second.due > std::chrono::steady_clock::now()) {
      wake_.wait_until(lock, SteadyTime(first->second.due));
    } else {
      Write(lock, first->first, first->second);
    }
  }
}

void FloorWriter::Write(std::unique_lock<std::mutex>& lock, const std::string& tunnel,
                        Entry& entry) {
  const Floors floors = entry.floors;
  std::vector<Done> told = std::exchange(entry.waiting, {});
  entry.changed = false;
  entry.written = false;
  lock.unlock();
  absl::Status status = save_(tunnel, floors);
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
  // What could not be written is tried again with the next update.
  if (status.ok()) entry.written = true;
}

}  // namespace cipe::broker
