#include "tools/cipectl/start.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "tools/cipectl/client.h"

extern char** environ;

namespace cipe::cipectl {
namespace {

std::vector<std::string> Candidates() {
  std::vector<std::string> out;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const std::filesystem::path here = self.parent_path();
    // "../sbin" is where it is installed, the last five are where a build tree has it, seen from
    // tools/ and tools/cipectl/.
    for (const char* beside : {".", "../sbin", "../controller", "../broker", "../controller/broker",
                               "../../controller", "../../controller/broker"}) {
      out.push_back((here / beside / "ciped").lexically_normal());
    }
  }
  const char* path = getenv("PATH");
  for (const auto& dir : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    out.push_back(absl::StrCat(dir, "/ciped"));
  }
  out.push_back("/usr/sbin/ciped");  // Debian leaves sbin out of a user's PATH
  return out;
}

bool IsProgram(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  // Standard output belongs to whoever reads our -j.
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::InternalError(absl::StrCat("starting ", arguments[0], ": ", strerror(error)));
  }
  return pid;
}

// Its wait(2) status.
absl::StatusOr<int> RunToEnd(const std::vector<std::string>& arguments) {
  CIPE_ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return absl::InternalError(absl::StrCat("waitpid: ", strerror(errno)));
  }
  return status;
}

std::string How(int status) {
  return WIFEXITED(status) ? absl::StrCat("exit status ", WEXITSTATUS(status))
                           : absl::StrCat("signal ", WTERMSIG(status));
}

}  // namespace

absl::StatusOr<std::string> FindDaemon() {
  if (const char* chosen = getenv("CIPE_CIPED"); chosen != nullptr && *chosen != '\0') {
    if (IsProgram(chosen)) return std::string(chosen);
    return absl::NotFoundError(absl::StrCat("CIPE_CIPED is ", chosen, ", which cannot be run"));
  }
  for (const std::string& candidate : Candidates())
    if (IsProgram(candidate)) return candidate;
  return absl::NotFoundError(
      "no ciped beside cipectl, in the sbin beside its bin, nor in PATH: install it, or name it in "
      "CIPE_CIPED");
}

absl::Status StartDaemon(const Options& options) {
  CIPE_ASSIGN_OR_RETURN(const std::string program, FindDaemon());
  CIPE_ASSIGN_OR_RETURN(
      const int status,
      RunToEnd({program, "--daemon", "--until-last-down", "--config-dir", options.config_dir,
                "--runtime-dir", options.runtime_dir, "--state-dir", options.state_dir}));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(program, " did not start (", How(status), "); what it said stands above"));
}

absl::Status ForgetOffline(const Options& options, const std::string& tunnel) {
  CIPE_ASSIGN_OR_RETURN(const std::string program, FindDaemon());
  CIPE_ASSIGN_OR_RETURN(const int status,
                        RunToEnd({program, "--forget", tunnel, "--state-dir", options.state_dir}));
  if (WIFEXITED(status) && WEXITSTATUS(status) == control::kExitDone) return absl::OkStatus();
  if (WIFEXITED(status) && WEXITSTATUS(status) == control::kExitNotRunning) {
    return absl::NotFoundError(absl::StrCat("tunnel ", tunnel, " is not up"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(program, " could not take away what is left of ", tunnel, " (", How(status),
                   "); what it said stands above"));
}

absl::StatusOr<UniqueFd> ConnectOrStart(const Options& options, bool* started) {
  absl::StatusOr<UniqueFd> fd = Connect(options.runtime_dir);
  if (!absl::IsUnavailable(fd.status())) return fd;
  const absl::Status status = StartDaemon(options);
  if (started != nullptr && status.ok()) *started = true;
  // Asked even after a failure: another `cipectl up` may have been faster with the same idea.
  fd = Connect(options.runtime_dir);
  if (!fd.ok() && !status.ok()) return status;
  return fd;
}

absl::StatusOr<control::Reply> AskOrStart(const Options& options, const control::Request& request,
                                          bool* started) {
  absl::StatusOr<control::Reply> reply = absl::UnavailableError("not asked");
  for (int attempt = 0; attempt < 3; ++attempt) {
    CIPE_ASSIGN_OR_RETURN(const UniqueFd fd, ConnectOrStart(options, started));
    reply = Call(fd.get(), request);
    if (!absl::IsAborted(reply.status())) break;
  }
  return reply;
}

}  // namespace cipe::cipectl
