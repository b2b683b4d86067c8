// An event as one line for people.
#pragma once

#include <string>

#include "control/snapshot_json.h"

namespace cipe::cipectl {

// "2026-11-23 17:30:01 site-a peer north: roamed, endpoint 192.0.2.7:6789, before ...". Control
// characters are replaced. Local time.
std::string RenderEvent(const control::Json& event);

}  // namespace cipe::cipectl
