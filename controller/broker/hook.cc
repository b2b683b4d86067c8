#include "broker/hook.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/descriptor_store.h"

namespace cipe::broker {
namespace {

constexpr size_t kMaxLine = 500;  // octets; longer lines are cut
constexpr int kMaxLines = 200;    // of one script; further ones are counted only
constexpr int kReadsPerTurn = 16;
constexpr auto kGrace = std::chrono::seconds(1);
constexpr char kSystemdRun[] = "/usr/bin/systemd-run";
constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

absl::Status CheckScript(const std::string& path, uid_t owner) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    const std::string text = absl::StrCat(path, ": ", strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? absl::NotFoundError(text)
                                               : absl::PermissionDeniedError(text);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
  }
  if (info.st_uid != 0 && info.st_uid != owner) {
    return absl::PermissionDeniedError(absl::StrCat(path, ": belongs to user ", info.st_uid,
                                                    " and would run as root; 'chown root ", path,
                                                    "'"));
  }
  if ((info.st_mode & 022) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s: may be written by group or others (mode %04o) and would run as root; "
                        "'chmod go-w %s'",
                        path, info.st_mode & 07777u, path));
  }
  if ((info.st_mode & 0111) == 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": not executable; 'chmod +x ", path, "'"));
  }
  return absl::OkStatus();
}

// posix_spawn with the file actions and attributes of a hook.
absl::StatusOr<pid_t> Spawn(std::vector<std::string> argv, std::vector<std::string> environment,
                            int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawn_file_actions_addchdir_np(&actions, "/");
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A group of its own, so that all of it can be killed; signals as a shell expects them.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0].c_str(), &actions, &attributes, Pointers(argv).data(),
                                Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == 0) return pid;
  const std::string text =
      absl::StrCat(argv[0], ": ", strerror(error),
                   error == ENOEXEC || error == ENOENT ? " (is its first line '#!/bin/sh'?)" : "");
  return absl::FailedPreconditionError(text);
}

std::vector<std::string> Environment(const HookJob& job) {
  std::vector<std::string> environment = {kPath};
  for (const auto& [name, value] : job.environment) {
    environment.push_back(absl::StrCat(name, "=", value));
  }
  return environment;
}

std::string Seconds(Duration d) {
  return absl::StrCat(std::chrono::duration_cast<std::chrono::seconds>(d).count(), " s");
}

}  // namespace

struct HookRunner::Running {
  HookJob job;
  pid_t pid = -1;
  std::string unit;  // empty: `pid` is the script, else systemd-run
  UniqueFd pidfd;
  UniqueFd output;
  std::string line;
  std::string last;  // line that was not empty
  int lines = 0;
  bool cut = false;     // the rest of this line is left out
  int signals = 0;      // sent because it runs too long
  bool at_end = false;  // of its output
  TimerId timer = TimerId::kNone;

  // To the script and all that it started; `hard` also ends who waits for its unit.
  void Signal(int number, bool hard) const {
    if (!unit.empty()) SignalUnit(unit, number).IgnoreError();
    if (!unit.empty() && !hard) return;
    kill(-pid, number);
  }
  void LogOutput() {
    if (++lines <= kMaxLines) {
      Log(Severity::kInfo, job.group, " ", job.label, ": ", line, cut ? " ..." : "");
    }
    if (!line.empty()) last = line;
    line.clear();
    cut = false;
  }
  // Why it failed, most likely.
  std::string Said() const {
    const std::string& text = line.empty() ? last : line;
    return text.empty() ? "" : absl::StrCat(": ", absl::Utf8SafeCHexEscape(text));
  }
  void LogRest() {
    if (!line.empty()) LogOutput();
    if (lines <= kMaxLines) return;
    Log(Severity::kInfo, job.group, " ", job.label, ": ", lines - kMaxLines,
        " further lines left out");
  }
  void Add(absl::string_view text) {
    for (const char c : text) {
      if (c == '\n') {
        LogOutput();
      } else if (line.size() < kMaxLine) {
        line.push_back(c);
      } else {
        cut = true;
      }
    }
  }
};

HookRunner::HookRunner(EventLoop& loop, bool units, uid_t owner)
    : loop_(loop), units_(units), owner_(owner) {}

HookRunner::~HookRunner() {
  for (const auto& ended : left_) loop_.Unwatch(ended->output.get());
  for (const auto& [group, jobs] : waiting_) {
    for (const HookJob& job : jobs) {
      Log(Severity::kWarning, group, " ", job.label, ": not run, for ciped ends");
    }
  }
  for (auto& [group, running] : running_) {
    Log(Severity::kWarning, group, " ", running->job.label, ": cut off, for ciped ends");
    running->Signal(SIGKILL, /*hard=*/true);
    kill(running->pid, SIGKILL);  // should it not have its group yet
    while (waitpid(running->pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    loop_.Cancel(running->timer);
    loop_.Unwatch(running->pidfd.get());
    loop_.Unwatch(running->output.get());
  }
}

size_t HookRunner::pending() const {
  size_t count = running_.size();
  for (const auto& [group, jobs] : waiting_) count += jobs.size();
  return count;
}

void HookRunner::Run(HookJob job) {
  const std::string group = job.group;
  waiting_[group].push_back(std::move(job));
  if (!running_.contains(group)) StartNext(group);
}

void HookRunner::StartNext(const std::string& group) {
  while (!running_.contains(group)) {
    const auto queue = waiting_.find(group);
    if (queue == waiting_.end()) return;
    HookJob job = std::move(queue->second.front());
    queue->second.pop_front();
    if (queue->second.empty()) waiting_.erase(queue);
    std::function<void(const absl::Status&)> done = job.done;
    const std::string label = job.label;
    const absl::Status status = Start(group, std::move(job));
    if (status.ok()) return;
    if (!absl::IsNotFound(status)) {
      Log(Severity::kError, group, " ", label, ": ", status.message());
    }
    if (done) done(status);
  }
}

std::vector<std::string> HookRunner::CommandOf(const HookJob& job, std::string* unit) {
  std::vector<std::string> argv;
  if (units_) {
    // Not with the tunnel's name, which may have characters that names of units may not.
    *unit = absl::StrCat("cipe-hook-", getpid(), "-", ++started_, ".service");
    argv = {kSystemdRun, "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec",
            absl::StrCat("--unit=", *unit),
            absl::StrCat("--description=CIPE ", job.group, " ", job.label),
            // Also while the system goes down, when nothing else may be started.
            "--property=DefaultDependencies=no",
            // What it leaves in the background may go on.
            "--property=KillMode=process"};
    for (const std::string& variable : Environment(job)) {
      argv.push_back(absl::StrCat("--setenv=", variable));
    }
    argv.push_back("--");
  }
  argv.push_back(job.path);
  argv.insert(argv.end(), job.arguments.begin(), job.arguments.end());
  return argv;
}

absl::Status HookRunner::Start(const std::string& group, HookJob job) {
  CIPE_RETURN_IF_ERROR(CheckScript(job.path, owner_));
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("pipe: ", strerror(errno)));
  }
  auto running = std::make_unique<Running>();
  running->output = UniqueFd(fds[0]);
  const UniqueFd writer(fds[1]);
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  std::vector<std::string> argv = CommandOf(job, &running->unit);
  CIPE_ASSIGN_OR_RETURN(running->pid, Spawn(std::move(argv), Environment(job), writer.get()));
  running->pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, running->pid, 0)));
  running->job = std::move(job);
  Running& r = *running;
  running_[group] = std::move(running);
  const absl::Status watched =
      loop_.Watch(r.pidfd.get(), EPOLLIN, [this, group](uint32_t) { OnExit(group); });
  if (!watched.ok()) {
    // Nobody would notice its end: better none than one that runs for ever.
    r.Signal(SIGKILL, /*hard=*/true);
    while (waitpid(r.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    running_.erase(group);
    return watched;
  }
  loop_.Watch(r.output.get(), EPOLLIN, [this, &r](uint32_t) { OnOutput(r); }).IgnoreError();
  r.timer = loop_.After(r.job.limit, [this, group] { OnLimit(group); });
  return absl::OkStatus();
}

void HookRunner::OnOutput(Running& r) {
  char buffer[4096];
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ssize_t n = read(r.output.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) {
      loop_.Unwatch(r.output.get());
      r.at_end = true;
    }
    if (n <= 0) return;
    r.Add({buffer, static_cast<size_t>(n)});
  }
}

void HookRunner::OnLimit(const std::string& group) {
  Running& r = *running_.at(group);
  const int sent = r.signals++;
  r.Signal(sent == 0 ? SIGTERM : SIGKILL, /*hard=*/sent > 1);
  if (sent == 0) {
    Log(Severity::kWarning, group, " ", r.job.label, ": runs longer than ", Seconds(r.job.limit),
        " and is ended");
  }
  r.timer = loop_.After(kGrace, [this, group] { OnLimit(group); });
}

void HookRunner::OnExit(const std::string& group) {
  auto node = running_.extract(group);
  if (node.empty()) return;
  Running& r = *node.mapped();
  loop_.Unwatch(r.pidfd.get());
  loop_.Cancel(r.timer);
  int code = 0;
  while (waitpid(r.pid, &code, 0) < 0 && errno == EINTR) {
  }
  if (r.signals > 0)
    r.Signal(SIGKILL, /*hard=*/false);  // whoever of its group ignored the first signal
  OnOutput(r);
  absl::Status status;
  if (r.signals > 0) {
    status = absl::DeadlineExceededError(
        absl::StrCat(r.job.path, " took longer than ", Seconds(r.job.limit)));
  } else if (WIFSIGNALED(code)) {
    status = absl::AbortedError(absl::StrCat(r.job.path, " ended by signal ", WTERMSIG(code)));
  } else if (WEXITSTATUS(code) != 0) {
    status = absl::AbortedError(
        absl::StrCat(r.job.path, " ended with status ", WEXITSTATUS(code), r.Said()));
  }
  const HookJob job = std::move(r.job);
  r.job.group = job.group;
  r.job.label = job.label;
  Keep(std::move(node.mapped()));
  Finish(group, job, status);
}

// Something in the background may hold the pipe for as long as it runs.
void HookRunner::Keep(std::unique_ptr<Running> ended) {
  Running& r = *ended;
  loop_.Unwatch(r.output.get());
  if (r.at_end) return r.LogRest();
  left_.push_back(std::move(ended));
  const auto watched = loop_.Watch(r.output.get(), EPOLLIN, [this, &r](uint32_t) {
    Running& left = r;  // the callback itself goes with its watch
    HookRunner& self = *this;
    self.OnOutput(left);
    if (!left.at_end) return;
    left.LogRest();
    self.left_.remove_if([&](const auto& one) { return one.get() == &left; });
  });
  watched.IgnoreError();
  if (left_.size() <= kMostLeft) return;
  loop_.Unwatch(left_.front()->output.get());
  left_.pop_front();
}

void HookRunner::Finish(const std::string& group, const HookJob& job, const absl::Status& status) {
  if (!status.ok()) Log(Severity::kWarning, group, " ", job.label, ": ", status.message());
  if (job.done) job.done(status);
  if (!running_.contains(group)) StartNext(group);
}

void HookRunner::Drain(Duration patience) {
  const Instant end = loop_.Now() + patience;
  while (pending() > 0 && !hurry_ && loop_.Now() < end) {
    if (!loop_.RunOnce(std::chrono::milliseconds(50)).ok()) return;
  }
}

}  // namespace cipe::broker
