// PreUp, PostUp, PreDown and PostDown of tunnel files: commands for /bin/sh, one after the other,
// without the loop ever waiting for one (hook.h).
//
// Belongs to the loop's thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "broker/hook.h"
#include "config/model.h"

namespace cipe::broker {

class TunnelHooks {
 public:
  enum class Phase { kPreUp, kPostUp, kPreDown, kPostDown };
  static constexpr auto kLimit = std::chrono::seconds(30);  // of one command
  using Done = std::function<void(const absl::Status&)>;

  TunnelHooks(EventLoop& loop, bool units) : runner_(loop, units) {}

  static bool Any(const config::Tunnel& config, Phase phase);
  // `done` runs when all have ended, at once when there are none; `mtu` of the netdev, 0 when there
  // is none. On the way up the first command that fails is the last, and `done` is told
  // (FailedPrecondition with the option and the command); on the way down all run, and failures are
  // in the log.
  void Run(const config::Tunnel& config, Phase phase, uint32_t mtu, Done done);

  bool busy() const { return jobs_ > 0; }
  // Turns the loop until nothing runs, at most for `patience`; then ends what is left.
  void Drain(Duration patience) { runner_.Drain(patience); }

 private:
  struct Sequence;
  void Next(std::shared_ptr<Sequence> sequence);

  HookRunner runner_;
  int jobs_ = 0;  // sequences under way
};

}  // namespace cipe::broker
