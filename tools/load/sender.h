// Paced sender of numbered UDP datagrams.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/load/datagram.h"

namespace cipe::load {

struct SendOptions {
  Address to;
  uint32_t run = 0;  // told apart by the sink
  // Octets of UDP payload, used in turn; one number: all are of that size.
  std::vector<int> sizes = {64};
  double rate = 1000;  // datagrams a second
  double seconds = 1;
};

struct SendResult {
  uint64_t sent = 0;     // taken by the kernel
  uint64_t refused = 0;  // ENOBUFS or a full buffer: lost before the wire, not retried
  double seconds = 0;    // from the first to the last datagram
};

// Sends for about `seconds` and then the end marker. When the machine cannot keep the pace the
// result's sent/seconds says what it did keep. Throws std::system_error on lasting errors.
SendResult Send(const SendOptions& options);

}  // namespace cipe::load
