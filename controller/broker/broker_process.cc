#include "broker/broker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "broker/broker.h"
#include "broker/capabilities.h"
#include "broker/descriptor_store.h"
#include "broker/handover_door.h"
#include "broker/process.h"
#include "broker/runtime_dir.h"
#include "cipe/abi/maps.h"

namespace cipe::broker {
namespace {

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

// Who runs things through sudo may change things too.
uint32_t StarterUid() {
  const char* text = getenv("SUDO_UID");
  uint32_t uid = 0;
  return text != nullptr && absl::SimpleAtoi(text, &uid) ? uid : getuid();
}

class BrokerProcess {
 public:
  BrokerProcess(const BrokerArguments& arguments, ProcessHooks hooks)
      : arguments_(arguments), hooks_(std::move(hooks)) {}
  absl::Status Run();

 private:
  absl::Status Inherit();
  absl::Status SetUp();
  absl::StatusOr<UniqueFd> Listener();
  bool HasSocketUnit() const;
  BrokerOptions Options();
  void OnSignal();
  void Stop();
  void Wipe();
  void OnSuccessor(const SuccessorHello& hello, UniqueFd client);
  void StoreAndEnd();

  const BrokerArguments arguments_;
  ProcessHooks hooks_;
  const SystemClock clock_;
  UniqueFd signals_;
  std::unique_ptr<EventLoop> loop_;
  // From the ciped before this one; `giver_` waits for our word, unless it has ended.
  std::optional<Handover> inherited_;
  UniqueFd giver_;
  UniqueFd unit_listener_;  // of a socket unit; the one to use, also when another was handed over
  std::optional<RuntimeDir> runtime_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<HandoverDoor> door_;
  bool stopping_ = false;
  Broker* leaving_ = nullptr;  // waits for scripts
};

// From the running one (--replace), else from systemd's descriptor store, else nothing.
absl::Status BrokerProcess::Inherit() {
  Inherited found = TakeInherited(absl::StrCat(arguments_.runtime_dir, "/ciped.sock"));
  std::vector<UniqueFd> fds = std::move(found.handover);
  unit_listener_ = std::move(found.listener);
  if (arguments_.replace) {
    auto taken = TakeHandover(
        arguments_.runtime_dir,
        {kHandoverVersion, CIPE_ABI_VERSION, arguments_.config_dir, arguments_.state_dir});
    if (taken.ok()) {
      fds = std::move(taken->fds);
      giver_ = std::move(taken->giver);
    } else if (absl::IsNotFound(taken.status()) || absl::IsAborted(taken.status())) {
      Log(Severity::kNotice, taken.status().message(), "; starting clean");
    } else {
      return taken.status();
    }
  }
  if (fds.empty()) return absl::OkStatus();
  absl::StatusOr<Handover> handover = Unpack(std::move(fds));
  if (handover.ok()) {
    inherited_ = *std::move(handover);
  } else if (giver_.valid()) {
    return handover.status();  // it goes on
  } else {
    Log(Severity::kWarning, handover.status().message(), ": it is discarded, starting clean");
  }
  return absl::OkStatus();
}

BrokerOptions BrokerProcess::Options() {
  BrokerOptions options;
  options.config_dir = arguments_.config_dir;
  options.state_dir = arguments_.state_dir;
  options.links_dir = arguments_.runtime_dir + "/links";
  options.version = arguments_.version;
  options.starter_uid = inherited_.has_value() ? inherited_->starter_uid : StarterUid();
  options.socket_unit = HasSocketUnit();
  options.hook_units = arguments_.hook_units;
  if (sd_watchdog_enabled(/*unset_environment=*/0, nullptr) > 0) {
    options.on_alive = [] { sd_notify(0, "WATCHDOG=1"); };
  }
  const bool ends = inherited_.has_value() && inherited_->until_last_down;
  if (arguments_.until_last_down || ends) options.on_idle = [this] { loop_->Stop(); };
  return options;
}

absl::StatusOr<UniqueFd> BrokerProcess::Listener() {
  if (HasSocketUnit()) runtime_->LeaveSocket();
  if (!inherited_.has_value() && !unit_listener_.valid()) return runtime_->Listen();
  // The unit's is kept: a start that begins again clean needs it again.
  UniqueFd fd = unit_listener_.valid() ? UniqueFd(fcntl(unit_listener_.get(), F_DUPFD_CLOEXEC, 0))
                                       : std::move(inherited_->listener);
  // Once more, so that clients are told our process id (SO_PEERCRED is that of listen(2)).
  if (listen(fd.get(), kBacklog) != 0) {
    return absl::InternalError(absl::StrCat("listen on the control socket: ", strerror(errno)));
  }
  return fd;
}

bool BrokerProcess::HasSocketUnit() const {
  return unit_listener_.valid() || (inherited_.has_value() && inherited_->socket_unit);
}

absl::Status BrokerProcess::SetUp() {
  if (inherited_.has_value()) {
    CIPE_ASSIGN_OR_RETURN(
        runtime_, RuntimeDir::Adopt(arguments_.runtime_dir, std::move(inherited_->runtime_lock)));
  } else {
    CIPE_ASSIGN_OR_RETURN(runtime_, RuntimeDir::Lock(arguments_.runtime_dir));
  }
  // Once, also when the first try ends here.
  if (const auto locked = std::exchange(hooks_.on_locked, nullptr)) {
    CIPE_RETURN_IF_ERROR(locked(*loop_));
  }
  BrokerOptions options = Options();
  CIPE_ASSIGN_OR_RETURN(UniqueFd listener, Listener());
  CIPE_ASSIGN_OR_RETURN(
      broker_, Broker::Create(
                   *loop_, std::move(options), std::move(listener),
                   [threshold = arguments_.log_threshold] { return SpawnEngine(threshold); },
                   hooks_.on_ready, std::move(inherited_)));
  // Whoever gave has everything still, and goes on unless it hears from us.
  if (giver_.valid()) CIPE_RETURN_IF_ERROR(FinishHandover(giver_.get()));
  giver_.reset();
  return absl::OkStatus();
}

absl::Status BrokerProcess::Run() {
  CIPE_ASSIGN_OR_RETURN(signals_, CatchSignals());
  CIPE_ASSIGN_OR_RETURN(loop_, EventLoop::Create(clock_));
  CIPE_RETURN_IF_ERROR(Inherit());
  const bool inherited = inherited_.has_value();
  if (const absl::Status status = SetUp(); !status.ok()) {
    if (!inherited) return status;
    // Cleaning up would take away what is not ours yet, or somebody else's again.
    Log(Severity::kError, "not taken over: ", status.message());
    if (giver_.valid()) _exit(1);
    // From the descriptor store: what is closed now was nobody else's.
    Log(Severity::kWarning, "starting clean");
    inherited_.reset();
    runtime_.reset();
    CIPE_RETURN_IF_ERROR(SetUp());
  }
  CIPE_RETURN_IF_ERROR(loop_->Watch(signals_.get(), EPOLLIN, [this](uint32_t) { OnSignal(); }));
  CIPE_ASSIGN_OR_RETURN(door_,
                        HandoverDoor::Open(*loop_, arguments_.runtime_dir,
                                           [this](const SuccessorHello& hello, UniqueFd client) {
                                             OnSuccessor(hello, std::move(client));
                                           }));
  CIPE_RETURN_IF_ERROR(broker_->Start());
  const absl::Status status = loop_->Run();
  sd_notify(0, "STOPPING=1");
  Log(Severity::kNotice, "stopping");
  runtime_->HideSocket();
  door_.reset();
  leaving_ = broker_.get();
  broker_.reset();
  return status;
}

// In the foreground SIGHUP is the terminal that closes; a daemon has none.
void BrokerProcess::OnSignal() {
  signalfd_siginfo info{};
  if (read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  const int number = static_cast<int>(info.ssi_signo);
  if (number == SIGTERM || number == SIGINT || (number == SIGHUP && !arguments_.daemon)) {
    return Stop();
  }
  Log(Severity::kNotice, "SIG", sigabbrev_np(number), " from process ", info.ssi_pid,
      " means nothing to ciped; a changed file is read by `cipectl down NAME`, `cipectl up NAME`");
}

void BrokerProcess::Stop() {
  if (leaving_ != nullptr) return leaving_->Hurry();
  if (std::exchange(stopping_, true)) return loop_->Stop();  // twice: at once
  const bool keep =
      arguments_.on_stop == "keep" || (arguments_.on_stop == "auto" && RestartFollows());
  return keep ? StoreAndEnd() : Wipe();
}

void BrokerProcess::Wipe() {
  broker_->Stop([this] { loop_->Stop(); });
}

// A successor asked: everything goes to it, and this process ends without touching anything.
void BrokerProcess::OnSuccessor(const SuccessorHello& hello, UniqueFd client) {
  if (hello.config_dir != arguments_.config_dir || hello.state_dir != arguments_.state_dir) {
    return RefuseHandover(
        client.get(),
        absl::StrCat("it uses config directory ", arguments_.config_dir, " and state directory ",
                     arguments_.state_dir, ", not ", hello.config_dir, " and ", hello.state_dir));
  }
  if (hello.version != kHandoverVersion || hello.abi != CIPE_ABI_VERSION) {
    const std::string why =
        absl::StrCat("the running ciped's data has format ", kHandoverVersion, ".",
                     CIPE_ABI_VERSION, ", the new one knows ", hello.version, ".", hello.abi);
    Log(Severity::kNotice, why, ": it starts clean");
    RefuseHandover(client.get(), why, /*stops=*/true);
    return Wipe();
  }
  const auto connection = std::make_shared<UniqueFd>(std::move(client));
  broker_->HandOver(
      runtime_->lock(),
      [connection](const PackedHandover& packed) {
        CIPE_RETURN_IF_ERROR(GiveHandover(connection->get(), packed));
        Log(Severity::kNotice, "another ciped has taken over");
        _exit(0);
        return absl::OkStatus();
      },
      [connection](absl::Status why) {
        Log(Severity::kError, "not handed over: ", why.message());
        RefuseHandover(connection->get(), why.message());
      });
}

// Before a restart of the unit: systemd keeps everything until then.
void BrokerProcess::StoreAndEnd() {
  broker_->HandOver(
      runtime_->lock(),
      [](const PackedHandover& packed) {
        CIPE_RETURN_IF_ERROR(StoreHandover(packed));
        Log(Severity::kNotice, "the next ciped takes over from the descriptor store");
        _exit(0);
        return absl::OkStatus();
      },
      [this](absl::Status why) {
        Log(Severity::kWarning, "nothing is kept for the next ciped: ", why.message());
        Wipe();
      });
}

}  // namespace

absl::Status RunBroker(const BrokerArguments& arguments, ProcessHooks hooks) {
  if (geteuid() != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("must be started as root (this is uid ", geteuid(),
                     "): it makes network devices and loads BPF programs; try sudo"));
  }
  CIPE_RETURN_IF_ERROR(KeepCapabilities(BrokerCapabilities()));
  return BrokerProcess(arguments, std::move(hooks)).Run();
}

}  // namespace cipe::broker
