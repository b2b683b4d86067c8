// ciped: the broker; with --engine-fd, started by itself, the engine.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cipe_version.h>
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker_process.h"
#include "broker/daemon_log.h"
#include "broker/engine_sandbox.h"
#include "broker/forget.h"
#include "broker/process.h"
#include "cipe/control/schema.h"
#include "control/request.h"
#include "engine/engine_process.h"

namespace cipe {
namespace {

constexpr int kReadyMilliseconds = 60'000;  // the tunnels of the last run come up before it

struct Arguments {
  broker::BrokerArguments broker;
  int log_level = static_cast<int>(Severity::kInfo);
  std::string forget;  // a tunnel
  int engine_fd = -1;
  pid_t engine_parent = 0;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "ciped: %s\n", std::string(status.message()).c_str());
  return 1;
}

int RunAsEngine(const Arguments& arguments) {
  prctl(PR_SET_NAME, "ciped-engine");  // else ps and top call us "exe", as in /proc/self/exe
  engine::PrepareLibraries();
  absl::Status status = broker::ShedPrivileges(arguments.engine_fd, arguments.engine_parent);
  if (status.ok()) status = broker::FilterSystemCalls();
  if (!status.ok()) return Fail(status);
  return engine::RunEngine(UniqueFd(arguments.engine_fd));
}

int RunInForeground(const Arguments& arguments) {
  const absl::Status status =
      broker::RunBroker(arguments.broker, {{}, [] { sd_notify(0, "READY=1"); }});
  return status.ok() ? 0 : Fail(status);
}

int Forget(const Arguments& arguments) {
  const absl::Status status = broker::ForgetTunnel(arguments.broker.state_dir, arguments.forget);
  if (status.ok()) return control::kExitDone;
  if (absl::IsNotFound(status)) return control::kExitNotRunning;
  return Fail(status);
}

// What the child in the background has to say to the parent that waits: "r" is ready, the end of
// file without it that it ended, having said why.
int AwaitReady(UniqueFd reader, pid_t child) {
  pollfd waiting{reader.get(), POLLIN, 0};
  int n;
  while ((n = poll(&waiting, 1, kReadyMilliseconds)) < 0 && errno == EINTR) {
  }
  if (n == 0) {
    kill(child, SIGTERM);
    return Fail(absl::DeadlineExceededError(absl::StrCat(
        "not ready after ", kReadyMilliseconds / 1000,
        " s, so it is ended; its log (journalctl -t ciped, or ciped.log in the runtime directory) "
        "says more")));
  }
  char octet = 0;
  return read(reader.get(), &octet, 1) == 1 ? 0 : 1;
}

// The child. Whoever started us gets the reason of a failed start, and from then on nothing: a pipe
// or terminal kept open would make them wait for as long as we run.
int RunInBackground(const Arguments& arguments, UniqueFd ready) {
  setsid();
  UniqueFd starter(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  std::optional<broker::DaemonLog> log;
  broker::ProcessHooks hooks;
  hooks.on_locked = [&](EventLoop& loop) -> absl::Status {
    CIPE_ASSIGN_OR_RETURN(log, broker::DaemonLog::Open(arguments.broker.runtime_dir));
    const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (null.valid()) dup2(null.get(), STDIN_FILENO);
    log->KeepBounded(loop);
    return log->TakeStandardStreams();
  };
  hooks.on_ready = [&] {
    if (chdir("/") != 0) Log(Severity::kWarning, "chdir /: ", strerror(errno));
    starter.reset();
    sd_notify(0, "READY=1");
    if (write(ready.get(), "r", 1) != 1) Log(Severity::kWarning, "nobody waits for readiness");
    ready.reset();
  };
  const absl::Status status = broker::RunBroker(arguments.broker, std::move(hooks));
  if (status.ok()) return 0;
  if (log.has_value() && starter.valid()) {
    dprintf(starter.get(), "ciped: %s\n", std::string(status.message()).c_str());
  }
  return Fail(status);
}

int RunAsDaemon(const Arguments& arguments) {
  // Whatever else our starter left open, a lock of flock(1) for example, must not be held by us.
  close_range(STDERR_FILENO + 1, ~0U, 0);
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return Fail(absl::InternalError(strerror(errno)));
  UniqueFd reader(fds[0]), writer(fds[1]);
  const pid_t pid = fork();
  if (pid < 0) return Fail(absl::InternalError(absl::StrCat("fork: ", strerror(errno))));
  if (pid == 0) {
    reader.reset();
    return RunInBackground(arguments, std::move(writer));
  }
  writer.reset();
  return AwaitReady(std::move(reader), pid);
}

// Descriptors 0 to 2 are there: else the first sockets would get these numbers, and our messages.
void FillStandardStreams() {
  while (true) {
    const int fd = open("/dev/null", O_RDWR);
    if (fd < 0) return;
    if (fd <= STDERR_FILENO) continue;
    close(fd);
    return;
  }
}

// A tunnel takes three descriptors and more in each process, and the usual soft limit of 1024,
// which is there for select(2), ends that after some hundred of them. Not having more is no error
// here.
void RaiseFileLimit() {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
    Log(Severity::kWarning, "limit of open files: ", strerror(errno));
  }
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("CIPE tunnel daemon", "ciped");
  app.set_version_flag("--version", std::string("ciped ") + CIPE_VERSION);
  app.add_option("--config-dir", arguments.broker.config_dir, "tunnel files (default /etc/cipe)");
  app.add_option("--runtime-dir", arguments.broker.runtime_dir,
                 "socket and lock (default /run/cipe)")
      ->envname("CIPE_RUNTIME_DIR");
  app.add_option("--state-dir", arguments.broker.state_dir,
                 "what outlives us (default /var/lib/cipe)");
  app.add_option("--log-level", arguments.log_level, "3 errors ... 7 everything (default 6)")
      ->check(CLI::Range(3, 7));
  auto* daemon = app.add_flag("--daemon", arguments.broker.daemon, "to the background, once ready");
  bool foreground = false;
  app.add_flag("--foreground", foreground, "stay in the foreground (default)")->excludes(daemon);
  app.add_flag("--until-last-down", arguments.broker.until_last_down,
               "end when no tunnel is up or to be brought up again");
  app.add_flag("--replace", arguments.broker.replace,
               "take everything over from the ciped that runs here, without a new handshake");
  app.add_option("--on-stop", arguments.broker.on_stop,
                 "on SIGTERM: wipe everything, keep it in systemd's descriptor store, or keep it "
                 "when systemd restarts the unit (default auto)")
      ->check(CLI::IsMember({"auto", "wipe", "keep"}));
  app.add_option_function<std::string>(
         "--hooks", [&](const std::string& how) { arguments.broker.hook_units = how == "unit"; },
         "scripts run as our children, or each as a transient unit of systemd (default child)")
      ->check(CLI::IsMember({"child", "unit"}));
  app.add_option("--forget", arguments.forget)->group("");  // for `cipectl down`
  app.add_option("--engine-fd", arguments.engine_fd)->group("");
  app.add_option("--engine-parent", arguments.engine_parent)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? control::kExitDone : control::kExitUsage;
  }
  SetLogThreshold(static_cast<Severity>(arguments.log_level));
  arguments.broker.log_threshold = static_cast<Severity>(arguments.log_level);
  arguments.broker.version = CIPE_VERSION;
  if (arguments.engine_fd >= 0) return RunAsEngine(arguments);
  FillStandardStreams();
  RaiseFileLimit();
  // Absolute: a daemon's working directory is /.
  for (std::string* directory :
       {&arguments.broker.config_dir, &arguments.broker.runtime_dir, &arguments.broker.state_dir}) {
    *directory = control::CanonicalDirectory(*directory);
  }
  if (!arguments.forget.empty()) return Forget(arguments);
  return arguments.broker.daemon ? RunAsDaemon(arguments) : RunInForeground(arguments);
}

}  // namespace
}  // namespace cipe

int main(int argc, char** argv) { return cipe::Main(argc, argv); }
