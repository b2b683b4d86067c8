// The rendering for people: every peer with how it is doing, and what to try when it is not.
#pragma once

#include <string>

#include "control/snapshot_json.h"

namespace cipe::cipectl {

// Control characters are replaced: what a config file calls a peer must not steer a terminal.
std::string RenderHuman(const control::Snapshot& snapshot, control::Object object);

}  // namespace cipe::cipectl
