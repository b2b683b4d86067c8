// ciped: the broker; with --engine-fd, started by itself, the engine.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/clock.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker.h"
#include "broker/process.h"
#include "broker/runtime_dir.h"
#include "engine/engine_process.h"

namespace cipe {
namespace {

struct Arguments {
  std::string config_dir = "/etc/cipe";
  std::string runtime_dir = "/run/cipe";
  std::string state_dir = "/var/lib/cipe";
  int log_level = static_cast<int>(Severity::kInfo);
  bool daemon = false;
  int engine_fd = -1;
  pid_t engine_parent = 0;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "ciped: %s\n", std::string(status.message()).c_str());
  return 1;
}

int RunAsEngine(const Arguments& arguments) {
  const absl::Status status = broker::ShedPrivileges(arguments.engine_fd, arguments.engine_parent);
  if (!status.ok()) return Fail(status);
  return engine::RunEngine(UniqueFd(arguments.engine_fd));
}

// SIGTERM and SIGINT as a descriptor of the loop. Before any thread starts, so that all inherit it.
absl::StatusOr<UniqueFd> CatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return absl::InternalError(absl::StrCat("signalfd: ", strerror(errno)));
  return fd;
}

// Who runs things through sudo may change things too.
uint32_t StarterUid() {
  const char* text = getenv("SUDO_UID");
  uint32_t uid = 0;
  return text != nullptr && absl::SimpleAtoi(text, &uid) ? uid : getuid();
}

absl::Status RunBroker(const Arguments& arguments, std::function<void()> on_ready) {
  if (geteuid() != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "must be started as root (this is uid ", geteuid(),
        "): it makes network devices and loads BPF programs; try sudo, or the systemd unit"));
  }
  CIPE_ASSIGN_OR_RETURN(const UniqueFd signals, CatchSignals());
  CIPE_ASSIGN_OR_RETURN(const broker::RuntimeDir runtime,
                        broker::RuntimeDir::Lock(arguments.runtime_dir));
  CIPE_ASSIGN_OR_RETURN(UniqueFd listener, runtime.Listen());
  const SystemClock clock;
  CIPE_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop, EventLoop::Create(clock));
  CIPE_RETURN_IF_ERROR(loop->Watch(signals.get(), EPOLLIN, [&](uint32_t) { loop->Stop(); }));
  broker::BrokerOptions options;
  options.config_dir = arguments.config_dir;
  options.state_dir = arguments.state_dir;
  options.links_dir = arguments.runtime_dir + "/links";
  options.version = CIPE_VERSION;
  options.starter_uid = StarterUid();
  const auto threshold = static_cast<Severity>(arguments.log_level);
  CIPE_ASSIGN_OR_RETURN(std::unique_ptr<broker::Broker> broker,
                        broker::Broker::Create(
                            *loop, std::move(options), std::move(listener),
                            [threshold] { return broker::SpawnEngine(threshold); }, on_ready));
  CIPE_RETURN_IF_ERROR(broker->Start());
  const absl::Status status = loop->Run();
  sd_notify(0, "STOPPING=1");
  Log(Severity::kNotice, "stopping");
  broker.reset();
  return status;
}

int RunInForeground(const Arguments& arguments) {
  const absl::Status status = RunBroker(arguments, [] { sd_notify(0, "READY=1"); });
  return status.ok() ? 0 : Fail(status);
}

// The parent waits for one octet: ready. End of file without it: the child has said why not.
int RunAsDaemon(const Arguments& arguments) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return Fail(absl::InternalError(strerror(errno)));
  UniqueFd reader(fds[0]), writer(fds[1]);
  const pid_t pid = fork();
  if (pid < 0) return Fail(absl::InternalError(absl::StrCat("fork: ", strerror(errno))));
  if (pid > 0) {
    writer.reset();
    char octet = 0;
    ssize_t n;
    while ((n = read(reader.get(), &octet, 1)) < 0 && errno == EINTR) {
    }
    return n == 1 ? 0 : 1;
  }
  reader.reset();
  setsid();
  const absl::Status status = RunBroker(arguments, [&] {
    if (chdir("/") != 0) Log(Severity::kWarning, "chdir /: ", strerror(errno));
    // Standard error stays: it is where whoever started us wants the log.
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null.valid()) {
      dup2(null.get(), STDIN_FILENO);
      dup2(null.get(), STDOUT_FILENO);
    }
    sd_notify(0, "READY=1");
    if (write(writer.get(), "r", 1) != 1) Log(Severity::kWarning, "nobody waits for readiness");
    writer.reset();
  });
  return status.ok() ? 0 : Fail(status);
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
  app.add_option("--engine-fd", arguments.engine_fd)->group("");
  app.add_option("--engine-parent", arguments.engine_parent)->group("");
  CLI11_PARSE(app, argc, argv);
  SetLogThreshold(static_cast<Severity>(arguments.log_level));
  if (arguments.engine_fd >= 0) return RunAsEngine(arguments);
  return arguments.daemon ? RunAsDaemon(arguments) : RunInForeground(arguments);
}

}  // namespace
}  // namespace cipe

int main(int argc, char** argv) { return cipe::Main(argc, argv); }
