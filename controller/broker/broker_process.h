// The privileged process around the broker: signals, the runtime directory, and how everything
// comes from the ciped before this one and goes to the next.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/log.h"

namespace cipe::broker {

struct BrokerArguments {
  // Absolute when it runs.
  std::string config_dir = "/etc/cipe";
  std::string runtime_dir = "/run/cipe";
  std::string state_dir = "/var/lib/cipe";
  Severity log_threshold = Severity::kInfo;  // of the engine
  bool daemon = false;
  bool until_last_down = false;
  bool replace = false;          // take over from the ciped that runs on runtime_dir
  std::string on_stop = "auto";  // SIGTERM: "wipe", "keep" in the descriptor store, or "auto"
  bool hook_units = false;       // scripts as transient units of systemd, outside our sandbox
  std::string version;
};

struct ProcessHooks {
  // The runtime directory is ours; nothing was logged yet and no other process started.
  std::function<absl::Status(EventLoop&)> on_locked;
  std::function<void()> on_ready;
};

// Until SIGTERM (or the last tunnel's end). Does not return at all when everything was handed over:
// nothing here may be destroyed then.
absl::Status RunBroker(const BrokerArguments& arguments, ProcessHooks hooks);

}  // namespace cipe::broker
