// What everybody who starts protocol 3 is told.
#pragma once

#include "config/classic.h"

namespace cipe::classic_start {

// On standard error: that the tunnel is insecure, why, and what to do instead. `program` for the
// beginning of each line.
void WarnInsecure(const char* program, const config::ClassicOptions& options);

}  // namespace cipe::classic_start
