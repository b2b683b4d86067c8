// "Rejected, counted, no state changed, not answered": what hostile frames must meet, as checks.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "protocol/constants.h"
#include "protocol/frame.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {

// What must not change when a frame is refused.
struct State {
  const session::Session *previous, *current, *next;
  session::Path path;
  protocol::Tai64n received;
  size_t sessions, delivered;
  uint64_t greatest;
  bool initiating;
  friend bool operator==(const State&, const State&) = default;
};

inline State StateOf(Host& host) {
  engine::Peer& p = host.peer();
  return {p.previous,
          p.current,
          p.next,
          p.path.path.Get(),
          p.stamps->received,
          host.engine().sessions().size(),
          host.delivered.size(),
          p.current ? p.current->receive_lane(0).greatest() : 0,
          p.initiator != nullptr};
}

inline const Endpoint kA = *Endpoint::Parse("192.0.2.1:6789");
inline const Endpoint kB = *Endpoint::Parse("192.0.2.2:6789");
inline const Endpoint kStranger = *Endpoint::Parse("203.0.113.66:6666");

// Sends `octets` to a or b as if from `from`; it must refuse and count it, change nothing, say
// nothing. Its timers do not run.
inline void ExpectRefusedBy(Pair& net, Host& host, const Endpoint& at, std::vector<uint8_t> octets,
                            const Endpoint& from, const std::string& what) {
  const State before = StateOf(host);
  const uint64_t drops = host.AllDrops();
  const size_t sent = net.network.record.size();
  net.network.Inject({from, at, std::move(octets), 0});
  net.network.Deliver();
  host.engine().HandleEvents();
  EXPECT_EQ(StateOf(host), before) << what;
  EXPECT_EQ(host.AllDrops(), drops + 1) << what << ": must be counted once";
  EXPECT_EQ(net.network.record.size(), sent) << what << ": must not be answered";
}

inline void ExpectRefused(Pair& net, std::vector<uint8_t> octets, const Endpoint& from,
                          const std::string& what) {
  ExpectRefusedBy(net, *net.b, kB, std::move(octets), from, what);
}

// The first `bits` bits changed one at a time, and every other length up to 40 octets more.
inline void ExpectEveryChangeRefused(Pair& net, Host& host, const Endpoint& at,
                                     const std::vector<uint8_t>& good, size_t bits,
                                     const Endpoint& from) {
  for (size_t bit = 0; bit < bits; ++bit) {
    std::vector<uint8_t> bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefusedBy(net, host, at, bad, from, "bit " + std::to_string(bit));
  }
  for (size_t size = 0; size < good.size() + 40; ++size) {
    if (size == good.size()) continue;
    std::vector<uint8_t> bad = good;
    bad.resize(size);
    ExpectRefusedBy(net, host, at, bad, from, "length " + std::to_string(size));
  }
}

// Every suite with both patterns; a alone starts handshakes.
class EachSuite : public testing::TestWithParam<std::tuple<Suite, bool>> {
 protected:
  PairOptions Options() const {
    PairOptions o;
    std::tie(o.suite, o.shared_key) = GetParam();
    o.b_knows_a = false;
    return o;
  }
};

}  // namespace cipe::sim
