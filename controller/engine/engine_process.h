// Entry of the unprivileged process.
#pragma once

#include "base/unique_fd.h"

namespace cipe::engine {

// Uses every library once that reads files when it is first used. Before there are none any more.
void PrepareLibraries();

// Runs the engine on the broker's channel until the broker goes away; returns the exit code.
// Privileges are already dropped.
int RunEngine(UniqueFd channel);

}  // namespace cipe::engine
