// A peer's path as the control thread sees it; engine/path_probing.cc is about it.
#pragma once

#include <cstdint>

#include "base/ip_address.h"
#include "session/path_prober.h"

namespace cipe::engine {

// What is known of the way to a peer and how it is found out; there as long as a session is.
struct PathProbing {
  session::PathProber prober;
  Endpoint asked;                // whose way the kernel was asked about; unset: to be asked again
  uint32_t link = 0, route = 0;  // its answer, 0 = none
  uint64_t packets = 0, octets = 0;  // sent to the peer when last looked at
  bool large = false;                // what was sent since was large
};

}  // namespace cipe::engine
