// When an authenticated data frame moves a peer's endpoint. Pure: facts in, answer out.
#pragma once

#include <cstdint>

#include "base/ip_address.h"

namespace cipe {

// What is known of a frame after it was opened.
struct RoamingFacts {
  bool current_session = false;  // the frame's keys are the peer's current ones
  uint64_t counter = 0;          // of the frame
  uint64_t lane_next = 0;  // greatest counter accepted on its lane before it, plus 1; 0 = none
};

// Only a counter above all accepted on that lane, in the current session, moves the endpoint: who
// records a frame and sends it again from elsewhere, or delays it until newer ones have arrived,
// must not be able to pull the tunnel to himself. `lane_next` is read before the frame's counter is
// committed to the replay window.
inline bool MayMoveEndpoint(const RoamingFacts& facts) {
  return facts.current_session && facts.counter >= facts.lane_next;
}

// The same, and there is something to move.
inline bool MovesEndpoint(const RoamingFacts& facts, const Endpoint& known, const Endpoint& from) {
  return MayMoveEndpoint(facts) && from.is_set() && !(known == from);
}

}  // namespace cipe
