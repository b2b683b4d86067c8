// The foreground of `debug`.
#pragma once

#include "absl/status/status.h"
#include "tools/cipectl/verbs.h"
#include "tools/classic/start_link.h"

namespace cipe::classic_start {

// Copies the tunnel's log lines to standard error until SIGINT, SIGTERM or SIGHUP, which take the
// tunnel down, or until it ends by itself, which is Aborted. Call BlockSignals before the tunnel is
// started.
absl::Status WatchLog(const cipectl::Options& where, const Started& link);
void BlockSignals();

}  // namespace cipe::classic_start
