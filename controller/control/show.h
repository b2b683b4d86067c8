// The answer to `show`.
#pragma once

#include "control/reply.h"
#include "control/request.h"
#include "control/snapshot.h"

namespace cipe::control {

// The part of `snapshot` that `request` asks for; not_found when it names a tunnel that is not in
// it.
Reply ShowReply(const Snapshot& snapshot, const Request& request);

}  // namespace cipe::control
