#include "broker/tunnel_hooks.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/log.h"

namespace cipe::broker {
namespace {

using Phase = TunnelHooks::Phase;

struct PhaseRow {
  const char* option;
  const char* event;  // for the command's environment
  std::vector<std::string> config::Hooks::*commands;
};

const PhaseRow& RowOf(Phase phase) {
  static constexpr PhaseRow kRows[] = {
      {"PreUp", "pre-up", &config::Hooks::pre_up},
      {"PostUp", "post-up", &config::Hooks::post_up},
      {"PreDown", "pre-down", &config::Hooks::pre_down},
      {"PostDown", "post-down", &config::Hooks::post_down},
  };
  return kRows[static_cast<int>(phase)];
}

bool GoesUp(Phase phase) { return phase == Phase::kPreUp || phase == Phase::kPostUp; }

}  // namespace

struct TunnelHooks::Sequence {
  Phase phase = Phase::kPreUp;
  std::string tunnel, path;
  std::vector<std::string> commands;
  size_t next = 0;
  std::vector<std::pair<std::string, std::string>> environment;
  Done done;
};

bool TunnelHooks::Any(const config::Tunnel& config, Phase phase) {
  return !(config.hooks.*RowOf(phase).commands).empty();
}

void TunnelHooks::Run(const config::Tunnel& config, Phase phase, uint32_t mtu, Done done) {
  if (!Any(config, phase)) return done(absl::OkStatus());
  const auto sequence = std::make_shared<Sequence>();
  sequence->phase = phase;
  sequence->tunnel = config.name;
  sequence->path = config.path;
  sequence->commands = config.hooks.*RowOf(phase).commands;
  sequence->environment = {{"CIPE_TUNNEL", config.name},
                           {"CIPE_DEVICE", config.name},
                           {"CIPE_EVENT", RowOf(phase).event},
                           {"CIPE_PROTOCOL", absl::StrCat(config.protocol)}};
  if (mtu > 0) sequence->environment.push_back({"CIPE_MTU", absl::StrCat(mtu)});
  sequence->done = std::move(done);
  ++jobs_;
  Next(sequence);
}

void TunnelHooks::Next(std::shared_ptr<Sequence> sequence) {
  if (sequence->next == sequence->commands.size()) {
    --jobs_;
    return sequence->done(absl::OkStatus());
  }
  const std::string command =
      absl::StrReplaceAll(sequence->commands[sequence->next++], {{"%i", sequence->tunnel}});
  const char* option = RowOf(sequence->phase).option;
  HookJob job;
  job.group = sequence->tunnel;
  job.label = option;
  job.path = "/bin/sh";
  job.arguments = {"-c", command};
  job.environment = sequence->environment;
  job.limit = kLimit;
  job.done = [this, sequence, command, option](const absl::Status& status) {
    if (status.ok() || !GoesUp(sequence->phase)) return Next(sequence);  // logged by the runner
    --jobs_;
    sequence->done(absl::FailedPreconditionError(
        absl::StrCat(sequence->path, ": ", option, " = ", command, ": ", status.message(),
                     "; correct the command, or take it out")));
  };
  runner_.Run(std::move(job));
}

}  // namespace cipe::broker
