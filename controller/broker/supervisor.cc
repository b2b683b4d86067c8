#include "broker/supervisor.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// So that one engine's flood of messages does not keep the loop from everything else.
constexpr int kMessagesPerTurn = 64;
constexpr int kLastTurns = 64;
constexpr auto kLeavePatience = seconds(2);

std::string HowItEnded(int status) {
  // What the engine's sandbox does to forbidden system calls: perhaps it is not ours any more.
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    return "ended by its sandbox, for a system call that an engine never makes";
  }
  if (WIFSIGNALED(status)) return absl::StrCat("killed by signal ", WTERMSIG(status));
  return absl::StrCat("exit status ", WEXITSTATUS(status));
}

}  // namespace

Duration RestartPause(int crashes_within_a_minute) {
  if (crashes_within_a_minute <= 1) return Duration::zero();
  const int doublings = std::min(crashes_within_a_minute - 2, 10);
  return std::min<Duration>(milliseconds(100) * (1 << doublings), seconds(10));
}

Supervisor::Supervisor(EventLoop& loop, EngineSpawner spawn, Hooks hooks,
                       const HeartbeatOptions& heartbeat)
    : loop_(loop),
      spawn_(std::move(spawn)),
      hooks_(std::move(hooks)),
      heartbeat_(
          loop, heartbeat, [this](uint64_t number) { Send(ipc::Ping{number}).IgnoreError(); },
          [this] { Kill("it does not answer any more"); }) {}

Supervisor::~Supervisor() {
  loop_.Cancel(restart_timer_);
  loop_.Cancel(dismissal_);
  if (process_.pid <= 0) return;
  kill(process_.pid, SIGKILL);
  siginfo_t ended{};
  while (waitid(P_PID, static_cast<id_t>(process_.pid), &ended, WEXITED | WNOWAIT) < 0 &&
         errno == EINTR) {
  }
  for (int i = 0; i < kLastTurns && channel_ != nullptr; ++i) OnReadable();  // as in OnExit
  Reap();
}

absl::Status Supervisor::Start() { return Launch(); }

absl::Status Supervisor::Launch() {
  CIPE_ASSIGN_OR_RETURN(process_, spawn_());
  channel_ = std::make_unique<ipc::Channel>(std::move(process_.channel));
  CIPE_RETURN_IF_ERROR(loop_.Watch(channel_->fd(), EPOLLIN, [this](uint32_t) { OnReadable(); }));
  CIPE_RETURN_IF_ERROR(loop_.Watch(process_.pidfd.get(), EPOLLIN, [this](uint32_t) { OnExit(); }));
  heartbeat_.Start();
  const bool takeover = std::exchange(had_one_, true);
  hooks_.on_start(takeover);
  return absl::OkStatus();
}

absl::Status Supervisor::Send(ipc::Message message) {
  if (channel_ == nullptr) return absl::UnavailableError("the engine is being restarted");
  const absl::Status status = channel_->Send(std::move(message));
  if (status.code() == absl::StatusCode::kDeadlineExceeded) Kill(status.message());
  return status;
}

void Supervisor::Kill(absl::string_view why) {
  if (process_.pid <= 0) return;
  Log(Severity::kError, "ending the engine (process ", process_.pid, "): ", why);
  kill(process_.pid, SIGKILL);
}

void Supervisor::OnReadable() {
  for (int i = 0; i < kMessagesPerTurn && channel_ != nullptr; ++i) {
    auto message = channel_->Receive();
    if (message.ok()) {
      if (const auto* pong = std::get_if<ipc::Pong>(&*message); pong != nullptr) {
        heartbeat_.OnPong(pong->number);
        if (hooks_.on_pong) hooks_.on_pong();
        continue;
      }
      hooks_.on_message(*std::move(message));
      continue;
    }
    if (message.status().code() == absl::StatusCode::kNotFound) return;
    // Gone or not to be trusted: either way its end follows through the pidfd.
    if (channel_ != nullptr) loop_.Unwatch(channel_->fd());
    if (message.status().code() == absl::StatusCode::kUnavailable) {
      kill(process_.pid, SIGKILL);
    } else {
      Kill(message.status().message());
    }
    return;
  }
}

std::string Supervisor::Reap() {
  heartbeat_.Stop();
  if (channel_ != nullptr) loop_.Unwatch(channel_->fd());
  loop_.Unwatch(process_.pidfd.get());
  int status = 0;
  while (waitpid(process_.pid, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string how = HowItEnded(status);
  Log(Severity::kDebug, "engine (process ", process_.pid, ") ended: ", how);
  channel_.reset();
  process_ = EngineProcess();
  return how;
}

void Supervisor::OnExit() {
  const pid_t pid = process_.pid;
  // What it said before it died still counts: floors above all. The kernel's queue bounds this.
  for (int i = 0; i < kLastTurns && channel_ != nullptr; ++i) OnReadable();
  const std::string how = Reap();
  if (gone_ != nullptr) {
    loop_.Cancel(std::exchange(dismissal_, TimerId::kNone));
    return std::exchange(gone_, nullptr)();
  }
  const Instant now = loop_.Now();
  std::erase_if(crashes_, [&](Instant t) { return now - t > seconds(60); });
  crashes_.push_back(now);
  const Duration pause = RestartPause(static_cast<int>(crashes_.size()));
  Log(Severity::kError, "the engine (process ", pid, ") died (", how, "); the next one starts in ",
      std::chrono::duration_cast<milliseconds>(pause).count(), " ms and takes its sessions over");
  hooks_.on_death();
  if (pause == Duration::zero()) return Restart();
  restart_timer_ = loop_.After(pause, [this] { Restart(); });
}

void Supervisor::Dismiss(std::function<void()> gone) {
  loop_.Cancel(std::exchange(restart_timer_, TimerId::kNone));
  if (process_.pid <= 0) return gone();
  gone_ = std::move(gone);
  heartbeat_.Stop();
  Send(ipc::Leave{}).IgnoreError();
  dismissal_ = loop_.After(kLeavePatience, [this] { Kill("it does not leave"); });
}

void Supervisor::Restart() {
  restart_timer_ = TimerId::kNone;
  const absl::Status status = Launch();
  if (status.ok()) return;
  Log(Severity::kError, "cannot start the engine: ", status.message(), "; next try in 5 s");
  if (process_.pid > 0) {
    kill(process_.pid, SIGKILL);
    Reap();
  }
  restart_timer_ = loop_.After(seconds(5), [this] { Restart(); });
}

}  // namespace cipe::broker
