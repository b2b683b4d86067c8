// Round-trip times of datagrams, as a program sees them: from before the send to after the receive.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/load/datagram.h"

namespace cipe::load {

inline constexpr int64_t kPatienceNs = 1'000'000'000;  // an answer later than that is none

struct EchoOptions {
  Address bind;
  double seconds = 10;  // until it ends by itself
};

struct PingOptions {
  Address to;
  int interval_us = 2000;  // between sends, whether answered or not
  double seconds = 1;
};

struct PingResult {
  uint64_t sent = 0;                    // numbers given out, refused ones included
  uint64_t refused = 0;                 // not taken by the kernel: never answered
  std::vector<int64_t> round_trips_ns;  // of those answered in time, in the order of their numbers
};

// Binds, prints "ready" on standard output, and sends every datagram back to where it came from
// until time is up; how many. Throws std::system_error.
uint64_t Echo(const EchoOptions& options);

// Sends datagrams of kMinSize octets on a fixed schedule, so that a slow answer does not make the
// next question late, and waits kPatienceNs for the last ones. Throws std::system_error.
PingResult Ping(const PingOptions& options);

}  // namespace cipe::load
