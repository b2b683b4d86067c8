#include "broker/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "broker/capabilities.h"
#include "broker/engine_sandbox.h"
#include "ipc/channel.h"

namespace cipe::broker {
namespace {

constexpr int kEngineFd = 3;

constexpr char kCannot[] = "cannot drop privileges of the engine: ";

absl::Status Failed(const char* step) {
  return absl::InternalError(absl::StrCat(kCannot, step, ": ", strerror(errno)));
}
absl::Status Because(const absl::Status& cause) {
  return cause.ok() ? cause : absl::Status(cause.code(), absl::StrCat(kCannot, cause.message()));
}

// In the child of fork(2) in a process with threads: system calls only.
[[noreturn]] void ExecEngine(int channel, char* const argv[]) {
  if (channel == kEngineFd) {
    fcntl(channel, F_SETFD, 0);
  } else if (dup2(channel, kEngineFd) < 0) {
    _exit(126);
  }
  syscall(SYS_close_range, kEngineFd + 1, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv("/proc/self/exe", argv);
  _exit(127);
}

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

absl::StatusOr<Account> EngineAccount() {
  const passwd* entry = getpwnam("cipe");
  if (entry == nullptr) {
    entry = getpwnam("nobody");
    Log(Severity::kNotice, "no user \"cipe\" here: the engine runs as \"nobody\"");
  }
  if (entry == nullptr || entry->pw_uid == 0) {
    return absl::FailedPreconditionError(
        "neither user \"cipe\" nor \"nobody\" exists: add one for the engine (adduser --system)");
  }
  return Account{entry->pw_uid, entry->pw_gid};
}

}  // namespace

absl::StatusOr<EngineProcess> SpawnEngine(Severity log_threshold) {
  CIPE_ASSIGN_OR_RETURN(auto pair, ipc::Channel::Pair());
  std::string arguments[] = {"ciped-engine",
                             "--engine-fd",
                             absl::StrCat(kEngineFd),
                             "--engine-parent",
                             absl::StrCat(getpid()),
                             "--log-level",
                             absl::StrCat(static_cast<int>(log_threshold))};
  char* argv[std::size(arguments) + 1] = {};
  std::transform(std::begin(arguments), std::end(arguments), argv,
                 [](std::string& s) { return s.data(); });
  const pid_t pid = fork();
  if (pid < 0) return absl::ResourceExhaustedError(absl::StrCat("fork: ", strerror(errno)));
  if (pid == 0) ExecEngine(pair.second.get(), argv);
  EngineProcess process;
  process.pid = pid;
  process.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.pidfd.valid()) {
    const int error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return absl::UnimplementedError(
        absl::StrCat("pidfd_open: ", strerror(error), " (Linux 5.3 or newer is needed)"));
  }
  process.channel = std::move(pair.first);
  return process;
}

absl::Status ShedPrivileges(int channel_fd, pid_t broker) {
  CIPE_ASSIGN_OR_RETURN(const Account account, EngineAccount());
  // Everything below the channel but standard streams, then everything above it.
  if (channel_fd > 3) syscall(SYS_close_range, 3, channel_fd - 1, 0);
  syscall(SYS_close_range, channel_fd + 1, ~0U, 0);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  CIPE_RETURN_IF_ERROR(Because(EnterEmptyRoot()));
  CIPE_RETURN_IF_ERROR(Because(DropBoundingSet()));
  if (setgroups(0, nullptr) != 0) return Failed("setgroups");
  if (setresgid(account.gid, account.gid, account.gid) != 0) return Failed("setresgid");
  if (setresuid(account.uid, account.uid, account.uid) != 0) return Failed("setresuid");
  CIPE_RETURN_IF_ERROR(Because(KeepCapabilities({})));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failed("PR_SET_NO_NEW_PRIVS");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Failed("PR_SET_DUMPABLE");
  // After the change of uid, which clears it (prctl(2)). Whoever died before this line is noticed
  // in the next.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return Failed("PR_SET_PDEATHSIG");
  if (getppid() != broker) return absl::UnavailableError("the broker has gone");
  if (setuid(0) == 0) return absl::InternalError("root again after dropping privileges");
  return absl::OkStatus();
}

}  // namespace cipe::broker
