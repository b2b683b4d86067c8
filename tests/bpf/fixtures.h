// One small world of listeners and sessions, and what has to become of each frame in it. Run
// natively (native_classify_test) and in the kernel (prog_run_test).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cipe/abi/drop_reasons.h"
#include "cipe/abi/maps.h"
#include "tests/bpf/packet_builder.h"

namespace cipe::bpftest {

enum class Verdict { kPass, kDrop, kSteer };

struct Fixture {
  std::string description;
  Octets packet;
  Verdict verdict;
  uint32_t reason = 0;  // with kDrop
  uint32_t peer = 0;    // with kSteer; 0 for frames that name none
  int repeat = 1;       // the verdict is that of the last; those before it pass
};

struct World {
  cipe_carrier carrier;
  std::vector<std::pair<cipe_listener_key, cipe_listener>> listeners;
  std::vector<std::pair<uint32_t, cipe_session>> sessions;
};

// Limit of control frames while fixtures run: `burst` at once, then practically none.
inline constexpr uint32_t kControlRate = 1;
inline constexpr uint32_t kControlBurst = 3;

World MakeWorld();
std::vector<Fixture> MakeFixtures();
// Frames of the fixtures with octets changed and ends cut off, the same for the same seed.
std::vector<Octets> MutatedFrames(uint32_t seed, int count);

}  // namespace cipe::bpftest
