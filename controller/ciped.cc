// ciped: the broker; with --engine-fd, started by itself, the engine.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

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
#include "broker/broker.h"
#include "broker/daemon_log.h"
#include "broker/process.h"
#include "broker/runtime_dir.h"
#include "cipe/control/schema.h"
#include "control/request.h"
#include "engine/engine_process.h"

namespace cipe {
namespace {

constexpr int kReadyMilliseconds = 60'000;  // the tunnels of the last run come up before it

struct Arguments {
  std::string config_dir = "/etc/cipe";
  std::string runtime_dir = "/run/cipe";
  std::string state_dir = "/var/lib/cipe";
  int log_level = static_cast<int>(Severity::kInfo);
  bool daemon = false;
  bool until_last_down = false;
  int engine_fd = -1;
  pid_t engine_parent = 0;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "ciped: %s\n", std::string(status.message()).c_str());
  return 1;
}

int RunAsEngine(const Arguments& arguments) {
  prctl(PR_SET_NAME, "ciped-engine");  // else ps and top call us "exe", as in /proc/self/exe
  const absl::Status status = broker::ShedPrivileges(arguments.engine_fd, arguments.engine_parent);
  if (!status.ok()) return Fail(status);
  return engine::RunEngine(UniqueFd(arguments.engine_fd));
}

// Signals as a descriptor of the loop: also those which mean nothing to us, for they would kill us
// without a chance to clean up. Before any thread starts, so that all inherit it.
absl::StatusOr<UniqueFd> CatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) {
    // nohup(1) and its like ignore some for us; a blocked one would be delivered nevertheless.
    struct sigaction inherited {};
    const bool ignored =
        sigaction(number, nullptr, &inherited) == 0 && inherited.sa_handler == SIG_IGN;
    if (!ignored) sigaddset(&set, number);
  }
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return absl::InternalError(absl::StrCat("signalfd: ", strerror(errno)));
  return fd;
}

// In the foreground SIGHUP is the terminal that closes; a daemon has none.
void OnSignal(int fd, bool daemon, const std::function<void()>& stop) {
  signalfd_siginfo info{};
  if (read(fd, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  const int number = static_cast<int>(info.ssi_signo);
  if (number == SIGTERM || number == SIGINT || (number == SIGHUP && !daemon)) return stop();
  Log(Severity::kNotice, "SIG", sigabbrev_np(number), " from process ", info.ssi_pid,
      " means nothing to ciped; a changed file is read by `cipectl down NAME`, `cipectl up NAME`");
}

// Who runs things through sudo may change things too.
uint32_t StarterUid() {
  const char* text = getenv("SUDO_UID");
  uint32_t uid = 0;
  return text != nullptr && absl::SimpleAtoi(text, &uid) ? uid : getuid();
}

struct Hooks {
  // The runtime directory is ours; nothing was logged yet and no other process started.
  std::function<absl::Status(EventLoop&)> on_locked;
  std::function<void()> on_ready;
};

broker::BrokerOptions OptionsOf(const Arguments& arguments, EventLoop& loop) {
  broker::BrokerOptions options;
  options.config_dir = arguments.config_dir;
  options.state_dir = arguments.state_dir;
  options.links_dir = arguments.runtime_dir + "/links";
  options.version = CIPE_VERSION;
  options.starter_uid = StarterUid();
  if (arguments.until_last_down) options.on_idle = [&loop] { loop.Stop(); };
  return options;
}

absl::Status RunBroker(const Arguments& arguments, Hooks hooks) {
  if (geteuid() != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("must be started as root (this is uid ", geteuid(),
                     "): it makes network devices and loads BPF programs; try sudo"));
  }
  CIPE_ASSIGN_OR_RETURN(const UniqueFd signals, CatchSignals());
  CIPE_ASSIGN_OR_RETURN(const broker::RuntimeDir runtime,
                        broker::RuntimeDir::Lock(arguments.runtime_dir));
  const SystemClock clock;
  CIPE_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create(clock));
  std::unique_ptr<broker::Broker> broker;
  bool stopping = false;
  broker::Broker* leaving = nullptr;  // waits for scripts
  const auto stop = [&] {
    if (leaving != nullptr) return leaving->Hurry();
    if (broker == nullptr || std::exchange(stopping, true)) return loop->Stop();  // twice: at once
    broker->Stop([&] { loop->Stop(); });
  };
  CIPE_RETURN_IF_ERROR(loop->Watch(
      signals.get(), EPOLLIN, [&](uint32_t) { OnSignal(signals.get(), arguments.daemon, stop); }));
  if (hooks.on_locked) CIPE_RETURN_IF_ERROR(hooks.on_locked(*loop));
  CIPE_ASSIGN_OR_RETURN(UniqueFd listener, runtime.Listen());
  const auto threshold = static_cast<Severity>(arguments.log_level);
  CIPE_ASSIGN_OR_RETURN(broker, broker::Broker::Create(
                                    *loop, OptionsOf(arguments, *loop), std::move(listener),
                                    [threshold] { return broker::SpawnEngine(threshold); },
                                    std::move(hooks.on_ready)));
  CIPE_RETURN_IF_ERROR(broker->Start());
  const absl::Status status = loop->Run();
  sd_notify(0, "STOPPING=1");
  Log(Severity::kNotice, "stopping");
  runtime.HideSocket();
  leaving = broker.get();
  broker.reset();
  return status;
}

int RunInForeground(const Arguments& arguments) {
  const absl::Status status = RunBroker(arguments, {{}, [] { sd_notify(0, "READY=1"); }});
  return status.ok() ? 0 : Fail(status);
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
  Hooks hooks;
  hooks.on_locked = [&](EventLoop& loop) -> absl::Status {
    CIPE_ASSIGN_OR_RETURN(log, broker::DaemonLog::Open(arguments.runtime_dir));
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
  const absl::Status status = RunBroker(arguments, std::move(hooks));
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

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("CIPE tunnel daemon", "ciped");
  app.set_version_flag("--version", std::string("ciped ") + CIPE_VERSION);
  app.add_option("--config-dir", arguments.config_dir, "tunnel files (default /etc/cipe)");
  app.add_option("--runtime-dir", arguments.runtime_dir, "socket and lock (default /run/cipe)")
      ->envname("CIPE_RUNTIME_DIR");
  app.add_option("--state-dir", arguments.state_dir, "what outlives us (default /var/lib/cipe)");
  app.add_option("--log-level", arguments.log_level, "3 errors ... 7 everything (default 6)")
      ->check(CLI::Range(3, 7));
  auto* daemon = app.add_flag("--daemon", arguments.daemon, "to the background, once ready");
  bool foreground = false;
  app.add_flag("--foreground", foreground, "stay in the foreground (default)")->excludes(daemon);
  app.add_flag("--until-last-down", arguments.until_last_down,
               "end when no tunnel is up or to be brought up again");
  app.add_option("--engine-fd", arguments.engine_fd)->group("");
  app.add_option("--engine-parent", arguments.engine_parent)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? control::kExitDone : control::kExitUsage;
  }
  SetLogThreshold(static_cast<Severity>(arguments.log_level));
  if (arguments.engine_fd >= 0) return RunAsEngine(arguments);
  FillStandardStreams();
  // Absolute: a daemon's working directory is /.
  for (std::string* directory :
       {&arguments.config_dir, &arguments.runtime_dir, &arguments.state_dir}) {
    *directory = control::CanonicalDirectory(*directory);
  }
  return arguments.daemon ? RunAsDaemon(arguments) : RunInForeground(arguments);
}

}  // namespace
}  // namespace cipe

int main(int argc, char** argv) { return cipe::Main(argc, argv); }
