// The engine as a process: started by re-executing ourselves, and the shedding of every privilege
// on its side of the exec.
#pragma once

#include <sys/types.h>

#include <functional>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace cipe::broker {

struct EngineProcess {
  pid_t pid = -1;
  UniqueFd pidfd;    // readable once it is dead (pidfd_open(2))
  UniqueFd channel;  // broker's end
};

// How a Supervisor gets its next engine; tests bring a double.
using EngineSpawner = std::function<absl::StatusOr<EngineProcess>()>;

// Runs /proc/self/exe with --engine-fd. Call it from the thread that lives as long as the broker:
// PR_SET_PDEATHSIG goes by thread (prctl(2)).
absl::StatusOr<EngineProcess> SpawnEngine(Severity log_threshold);

// First thing in main of the engine: becomes user `cipe` (else `nobody`, said in the log) for good,
// without groups and capabilities, not dumpable, dying with its parent `broker`, with an empty root
// directory, and closes every descriptor but 0-2 and `channel_fd`. FilterSystemCalls()
// (engine_sandbox.h) comes next. On an error the process must not go on.
absl::Status ShedPrivileges(int channel_fd, pid_t broker);

}  // namespace cipe::broker
