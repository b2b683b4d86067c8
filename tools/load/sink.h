// Receiver that counts what of a run arrived.
#pragma once

#include <cstdint>

#include "tools/load/datagram.h"

namespace cipe::load {

struct SinkOptions {
  Address bind;
  uint32_t run = 0;
  double seconds = 10;  // gives up after this even without an end marker
};

struct SinkResult {
  uint64_t received = 0;   // different numbers
  uint64_t lost = 0;       // of `total`, or of the greatest number seen when no end marker came
  uint64_t reordered = 0;  // arrived after a greater number
  uint64_t duplicated = 0;
  uint64_t foreign = 0;  // datagrams of another run or of somebody else
  uint64_t total = 0;    // 0 when no end marker came
};

// Binds, prints "ready" on standard output, and counts until an end marker has come and the socket
// is drained, or until time is up. Throws std::system_error.
SinkResult Receive(const SinkOptions& options);

}  // namespace cipe::load
