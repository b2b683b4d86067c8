#include "base/event_loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/str_cat.h"

namespace cipe {
namespace {

constexpr uint64_t kWakeupToken = 1;
constexpr uint64_t kTimerToken = 2;
constexpr uint64_t kFirstToken = 3;
constexpr int kEventsPerTurn = 64;

absl::Status Failed(absl::string_view what, int error) {
  return absl::InternalError(absl::StrCat("event loop: ", what, ": ", strerror(error)));
}

// Reads the eight octets of an eventfd or timerfd, so that it is no longer readable.
void Drain(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(fd, &count, sizeof count);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create(const Clock& clock) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Failed("epoll_create1", errno);
  UniqueFd wakeup(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup.valid()) return Failed("eventfd", errno);
  UniqueFd timer(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return Failed("timerfd_create", errno);
  std::unique_ptr<EventLoop> loop(
      new EventLoop(clock, std::move(epoll), std::move(wakeup), std::move(timer)));
  absl::Status status = loop->Control(EPOLL_CTL_ADD, loop->wakeup_.get(), EPOLLIN, kWakeupToken);
  if (status.ok()) status = loop->Control(EPOLL_CTL_ADD, loop->timer_.get(), EPOLLIN, kTimerToken);
  if (!status.ok()) return status;
  return loop;
}

EventLoop::EventLoop(const Clock& clock, UniqueFd epoll, UniqueFd wakeup, UniqueFd timer)
    : clock_(clock),
      epoll_(std::move(epoll)),
      wakeup_(std::move(wakeup)),
      timer_(std::move(timer)),
      next_token_(kFirstToken) {}

EventLoop::~EventLoop() = default;

absl::Status EventLoop::Control(int operation, int fd, uint32_t events, uint64_t token) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return absl::OkStatus();
  return Failed(absl::StrCat("watching descriptor ", fd), errno);
}

absl::Status EventLoop::Watch(int fd, uint32_t events, FdCallback callback) {
  // A new token each time: events already fetched for what this number meant before find nobody.
  const uint64_t token = next_token_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  // ENOENT on a number we know: it was closed without Unwatch and opened anew.
  const bool known = watched_.contains(fd);
  int rc = epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (rc != 0 && known && errno == ENOENT) rc = epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  if (rc != 0) return Failed(absl::StrCat("watching descriptor ", fd), errno);
  if (known) fd_of_token_.erase(watched_[fd].token);
  watched_[fd] = Watched{token, std::make_shared<FdCallback>(std::move(callback))};
  fd_of_token_[token] = fd;
  return absl::OkStatus();
}

absl::Status EventLoop::SetEvents(int fd, uint32_t events) {
  const auto it = watched_.find(fd);
  if (it == watched_.end()) {
    return absl::NotFoundError(absl::StrCat("event loop: descriptor ", fd, " is not watched"));
  }
  return Control(EPOLL_CTL_MOD, fd, events, it->second.token);
}

void EventLoop::Unwatch(int fd) {
  const auto it = watched_.find(fd);
  if (it == watched_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  fd_of_token_.erase(it->second.token);
  watched_.erase(it);
}

TimerId EventLoop::At(Instant when, Callback callback) {
  const uint64_t id = next_timer_++;
  timers_.emplace(TimerKey{when, id}, std::move(callback));
  timer_when_.emplace(id, when);
  return static_cast<TimerId>(id);
}

bool EventLoop::Cancel(TimerId id) {
  const auto it = timer_when_.find(static_cast<uint64_t>(id));
  if (it == timer_when_.end()) return false;
  // Taken out first and destroyed last: what the callback holds may cancel timers on its way out.
  auto node = timers_.extract(TimerKey{it->second, it->first});
  timer_when_.erase(it);
  return true;
}

void EventLoop::Post(Callback callback) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    posted_.push_back(std::move(callback));
  }
  Wake();
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the loop wakes anyway.
  [[maybe_unused]] const ssize_t n = write(wakeup_.get(), &one, sizeof one);
}

void EventLoop::Stop() {
  stop_.store(true);
  Wake();
}

absl::Status EventLoop::Run() {
  while (!stop_.exchange(false)) {
    const absl::Status status = RunOnce(Duration::max());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void EventLoop::ArmTimer() {
  if (timers_.empty()) {
    if (!armed_) return;
    const itimerspec off{};
    timerfd_settime(timer_.get(), 0, &off, nullptr);
    armed_ = false;
    return;
  }
  const Instant first = timers_.begin()->first.first;
  if (armed_ && armed_for_ == first) return;
  // Relative to clock_.Now(), not absolute: a clock other than the kernel's keeps its own time.
  const int64_t delay = std::max<int64_t>(1, (first - clock_.Now()).count());
  itimerspec spec{};
  spec.it_value.tv_sec = delay / 1'000'000'000;
  spec.it_value.tv_nsec = delay % 1'000'000'000;
  timerfd_settime(timer_.get(), 0, &spec, nullptr);
  armed_ = true;
  armed_for_ = first;
}

absl::Status EventLoop::RunOnce(Duration max_wait) {
  ArmTimer();
  int timeout_ms = -1;
  if (max_wait != Duration::max()) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(max_wait).count();
    timeout_ms = static_cast<int>(std::clamp<int64_t>(ms, 0, std::numeric_limits<int>::max()));
  }
  std::array<epoll_event, kEventsPerTurn> events;
  int count = epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, timeout_ms);
  if (count < 0) {
    if (errno != EINTR) return Failed("epoll_wait", errno);
    count = 0;
  }
  // Timers first, so that a flood of descriptor events cannot starve them.
  RunTimers();
  for (int i = 0; i < count; ++i) Dispatch(events[i]);
  return absl::OkStatus();
}

void EventLoop::Dispatch(const epoll_event& event) {
  if (event.data.u64 == kWakeupToken) {
    Drain(wakeup_.get());
    RunPosted();
    return;
  }
  if (event.data.u64 == kTimerToken) {
    Drain(timer_.get());
    armed_ = false;
    return;
  }
  const auto token = fd_of_token_.find(event.data.u64);
  if (token == fd_of_token_.end()) return;
  // Held here, because the callback may unwatch itself.
  const std::shared_ptr<FdCallback> callback = watched_[token->second].callback;
  (*callback)(event.events);
}

void EventLoop::RunPosted() {
  std::vector<Callback> batch;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    batch.swap(posted_);
  }
  for (Callback& callback : batch) {
    callback();
    callback = nullptr;
  }
}

void EventLoop::RunTimers() {
  const Instant now = clock_.Now();
  // Timers made by these callbacks wait for the next turn, due or not: no callback can keep the
  // loop here for good.
  const uint64_t newest = next_timer_;
  auto it = timers_.begin();
  while (it != timers_.end() && it->first.first <= now) {
    if (it->first.second >= newest) {
      ++it;
      continue;
    }
    auto node = timers_.extract(it);
    timer_when_.erase(node.key().second);
    node.mapped()();
    it = timers_.begin();  // the callback may have changed anything
  }
}

}  // namespace cipe
