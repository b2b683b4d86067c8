#include "dataplane/worker.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>
#include <future>

#include "absl/strings/str_cat.h"

namespace cipe::dataplane {

absl::StatusOr<std::unique_ptr<Worker>> Worker::Start(const std::string& name, const Clock& clock,
                                                      session::QuiescentDomain& domain) {
  auto worker = std::unique_ptr<Worker>(new Worker(clock, domain));
  worker->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  worker->wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = worker->wake_.get();
  if (!worker->epoll_.valid() || !worker->wake_.valid() ||
      epoll_ctl(worker->epoll_.get(), EPOLL_CTL_ADD, worker->wake_.get(), &event) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("worker ", name, ": no descriptor for its loop: ", std::strerror(errno)));
  }
  worker->thread_ = std::thread([w = worker.get(), name = name.substr(0, 15)] {
    // By itself: a name given from outside goes through a file in /proc, and there is no /proc
    // here.
    prctl(PR_SET_NAME, name.c_str());
    w->Run();
  });
  return worker;
}

Worker::~Worker() {
  if (!thread_.joinable()) return;
  Post([this] {
    std::lock_guard lock(mutex_);
    stop_ = true;
  });
  thread_.join();
}

void Worker::Post(std::function<void()> command) {
  {
    std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
}

void Worker::Call(std::function<void()> command) {
  std::promise<void> done;
  Post([&] {
    command();
    done.set_value();
  });
  done.get_future().wait();
}

void Worker::Watch(int fd, uint32_t events, Handler handler) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  const bool known = handlers_.contains(fd);
  handlers_[fd] = std::make_shared<Handler>(std::move(handler));
  epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

void Worker::Unwatch(int fd) {
  if (handlers_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  std::erase(busy_, fd);
}

void Worker::SetEvents(int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Worker::RunCommands() {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> commands;
  {
    std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (auto& command : commands) command();
}

void Worker::Turn(int timeout_ms) {
  epoll_event ready[32];
  int n = busy_.empty() && !worked_ ? 0 : epoll_wait(epoll_.get(), ready, 32, 0);
  if (n == 0 && busy_.empty() && worked_) {
    // Who fills our queues may wait for this very core: let it, and save both a wake-up.
    sched_yield();
    n = epoll_wait(epoll_.get(), ready, 32, 0);
  }
  if (n == 0 && busy_.empty()) {
    reader_.Offline();
    n = epoll_wait(epoll_.get(), ready, 32, timeout_ms);
  }
  worked_ = n > 0;
  reader_.Quiescent();
  const Instant now = clock_.Now();
  std::vector<int> again;
  again.swap(busy_);
  const auto handle = [&](int fd, uint32_t events) {
    const auto it = handlers_.find(fd);
    if (it == handlers_.end()) return;
    const std::shared_ptr<Handler> handler = it->second;
    if ((*handler)(events, now)) busy_.push_back(fd);
  };
  bool commanded = false;
  for (int i = 0; i < n; ++i) {
    if (ready[i].data.fd == wake_.get()) {
      commanded = true;
      continue;
    }
    std::erase(again, ready[i].data.fd);
    handle(ready[i].data.fd, ready[i].events);
  }
  for (const int fd : again) handle(fd, EPOLLIN);
  if (end_of_turn_) end_of_turn_(now);
  if (commanded) RunCommands();
  turns_.fetch_add(1, std::memory_order_relaxed);
}

void Worker::Run() {
  while (true) {
    Turn(-1);
    std::lock_guard lock(mutex_);
    if (stop_) break;
  }
  reader_.Offline();
}

}  // namespace cipe::dataplane
