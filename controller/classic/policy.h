// What protocol 3 leaves open and what 1999 did worse than the wire demands.
#pragma once

#include <chrono>

#include "base/clock.h"

namespace cipe::classic {

// Timers of a link. Zero switches one off.
struct Timing {
  Duration tokxc = std::chrono::seconds(10);   // a key exchange not ended by then starts anew
  Duration tokey = std::chrono::seconds(600);  // life of a sending key; receiving: twice that
  Duration tokxts{0};                          // greatest difference of time stamps
  Duration ping{0};                            // between CT_PINGs
  Duration toping{0};                          // wait for a CT_PONG; a miss is one error
  int max_errors = 8;                          // between two exchanges; 0 = none, -1 = any number
};

// Each false is the safer choice, each true what a genuine peer of 1999 does.
struct Policy {
  bool static_data = false;  // data under the static key while there is no dynamic one
  bool roam_any = false;     // the endpoint follows packets under the static key too
  bool kill = false;         // CT_KILL ends the tunnel
};

}  // namespace cipe::classic
