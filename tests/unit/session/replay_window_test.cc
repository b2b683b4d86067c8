// The replay window: edge cases one by one, sweeps, jumps, and random runs against a naive model.
#include "session/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace cipe {
namespace {

using Window = ReplayWindow<>;
using enum ReplayVerdict;

constexpr uint64_t kW = Window::kSize;
constexpr uint64_t kMax = ~uint64_t{0};
static_assert(kW == 8192);

struct Step {
  uint64_t counter;
  ReplayVerdict want;
};

// Check must foretell Commit, change nothing, and after kFresh say kReplayed.
template <typename W, size_t N>
void RunSteps(W& window, const Step (&steps)[N]) {
  for (size_t i = 0; i < N; ++i) {
    SCOPED_TRACE(::testing::Message() << "step " << i << ", counter " << steps[i].counter);
    EXPECT_EQ(window.Check(steps[i].counter), steps[i].want);
    EXPECT_EQ(window.Check(steps[i].counter), steps[i].want) << "Check changed something";
    EXPECT_EQ(window.Commit(steps[i].counter), steps[i].want);
    if (steps[i].want == kFresh) {
      EXPECT_EQ(window.Check(steps[i].counter), kReplayed);
    }
  }
}

TEST(ReplayWindow, EdgeSteps) {
  Window window;
  const Step steps[] = {
      {0, kFresh},                             // the very first counter
      {0, kReplayed},                          //
      {1, kFresh},                             // the next one
      {1, kReplayed},                          //
      {9, kFresh},                             // a gap
      {8, kFresh},                             // filled from above
      {7, kFresh},                             //
      {7, kReplayed},                          //
      {63, kFresh},                            // last bit of the first block
      {64, kFresh},                            // first bit of the second
      {64, kReplayed},                         //
      {63, kReplayed},                         //
      {kW - 1, kFresh},                        // the window just full
      {2, kFresh},                             // still inside
      {kW, kFresh},                            // pushes 0 out
      {0, kTooOld},                            //
      {1, kReplayed},                          // the oldest one inside
      {kW + 1, kFresh},                        // pushes 1 out
      {1, kTooOld},                            //
      {2, kReplayed},                          //
      {3, kFresh},                             //
      {kW + 64, kFresh},                       // a whole block out
      {64, kTooOld},                           //
      {65, kFresh},                            // exactly the oldest
      {65, kReplayed},                         //
      {66, kFresh},                            //
      {2 * kW, kFresh},                        // a jump within reach
      {kW, kTooOld},                           //
      {kW + 1, kReplayed},                     // remembered across the jump
      {kW + 2, kFresh},                        //
      {4 * kW + 33, kFresh},                   // a jump past the whole ring
      {3 * kW + 33, kTooOld},                  //
      {3 * kW + 34, kFresh},                   // nothing left of the old ring
      {4 * kW + 32, kFresh},                   //
      {4 * kW + 33, kReplayed},                //
      {2 * kW, kTooOld},                       //
      {uint64_t{1} << 32, kFresh},             // past 32 bits
      {(uint64_t{1} << 32) - 1, kFresh},       //
      {(uint64_t{1} << 32) - kW, kTooOld},     //
      {(uint64_t{1} << 32) - kW + 1, kFresh},  //
      {0, kTooOld},                            //
      {kMax, kTooOld},                         // would wrap: never valid
      {kMax - 1, kFresh},                      // the greatest there is
      {kMax - 1, kReplayed},                   //
      {kMax, kTooOld},                         //
      {kMax - kW, kFresh},                     // oldest below the end
      {kMax - kW - 1, kTooOld},                //
      {kMax - kW, kReplayed},                  //
      {kMax - 2, kFresh},                      //
      {0, kTooOld},                            // no wrap
  };
  static_assert(std::size(steps) >= 34);
  RunSteps(window, steps);
}

TEST(ReplayWindow, ForwardSweep) {
  Window window;
  for (uint64_t c = 0; c < 4 * kW; ++c) {
    ASSERT_EQ(window.Commit(c), kFresh) << c;
    ASSERT_EQ(window.Commit(c), kReplayed) << c;
    ASSERT_EQ(window.next(), c + 1);
  }
  for (uint64_t c = 0; c < 4 * kW; ++c) {
    ASSERT_EQ(window.Commit(c), c < 3 * kW ? kTooOld : kReplayed) << c;
  }
}

TEST(ReplayWindow, BackwardSweep) {
  Window window;
  const uint64_t top = 3 * kW + 17;
  ASSERT_EQ(window.Commit(top), kFresh);
  for (uint64_t back = 1; back < kW; ++back) ASSERT_EQ(window.Commit(top - back), kFresh) << back;
  for (uint64_t back = kW; back <= top; ++back) ASSERT_EQ(window.Commit(top - back), kTooOld);
  for (uint64_t back = 0; back < kW; ++back) ASSERT_EQ(window.Commit(top - back), kReplayed);
}

TEST(ReplayWindow, JumpsForgetExactlyWhatIsTooOld) {
  for (uint64_t jump : {uint64_t{1}, uint64_t{63}, uint64_t{64}, uint64_t{65}, kW - 65, kW - 64,
                        kW - 1, kW, kW + 1, kW + 63, kW + 64, kW + 65, 2 * kW, uint64_t{1} << 40}) {
    Window window;
    for (uint64_t c = 0; c < kW; ++c) window.Commit(c);
    const uint64_t top = kW - 1 + jump;
    ASSERT_EQ(window.Commit(top), kFresh);
    for (uint64_t c = 0; c < kW; ++c) {
      ASSERT_EQ(window.Check(c), top - c >= kW ? kTooOld : kReplayed) << jump << " " << c;
    }
    for (uint64_t c = std::max(kW, top - kW + 1); c < top; ++c) {
      ASSERT_EQ(window.Check(c), kFresh) << jump << " " << c;
    }
  }
}

TEST(ReplayWindow, ResumeTakesEverythingBelowAsReceived) {
  for (uint64_t at : {uint64_t{0}, uint64_t{1}, uint64_t{63}, uint64_t{64}, uint64_t{65}, kW,
                      kW + 1, 5 * kW + 7, uint64_t{1} << 50, kMax - 3}) {
    SCOPED_TRACE(at);
    Window window;
    for (uint64_t c : {uint64_t{3}, uint64_t{200}, 9 * kW}) window.Commit(c);
    window.ResumeAt(at);
    EXPECT_EQ(window.next(), at);
    for (uint64_t back = 1; back <= std::min(at, 2 * kW); ++back) {
      ASSERT_EQ(window.Check(at - back), back <= kW ? kReplayed : kTooOld) << back;
    }
    ASSERT_EQ(window.Commit(at + 2), kFresh);
    ASSERT_EQ(window.Commit(at), kFresh);
    ASSERT_EQ(window.Commit(at + 1), kFresh);
    ASSERT_EQ(window.Commit(at + 1), kReplayed);
    if (at > 0) {
      ASSERT_EQ(window.Check(at - 1), kReplayed);
    }
  }
}

TEST(ReplayWindow, ResumeThenGoOnFarAhead) {
  for (uint64_t jump = 0; jump < 3 * kW; jump += 61) {
    Window window;
    window.ResumeAt(1000);
    ASSERT_EQ(window.Commit(1000 + jump), kFresh);
    for (uint64_t c = 1000 + (jump < kW ? 0 : jump - kW + 1); c < 1000 + jump; ++c) {
      ASSERT_EQ(window.Check(c), kFresh) << jump << " " << c;
    }
    if (jump < kW - 1) {
      ASSERT_EQ(window.Check(999), kReplayed) << jump;
    }
  }
}

// Remembers every counter and reads the definition.
template <uint64_t kSize>
class Model {
 public:
  ReplayVerdict Commit(uint64_t counter) {
    if (counter == kMax) return kTooOld;
    if (next_ > kSize && counter < next_ - kSize) return kTooOld;
    if (counter < floor_ || seen_.count(counter) != 0) return kReplayed;
    seen_.insert(counter);
    next_ = std::max(next_, counter + 1);
    return kFresh;
  }
  void ResumeAt(uint64_t next) {
    seen_.clear();
    next_ = floor_ = next;
  }
  uint64_t next() const { return next_; }

 private:
  std::set<uint64_t> seen_;
  uint64_t floor_ = 0;  // everything below counts as seen
  uint64_t next_ = 0;
};

// A counter near the edges of the window more often than elsewhere.
uint64_t RandomCounter(std::mt19937_64& rng, uint64_t next, uint64_t size) {
  switch (rng() % 8) {
    case 0:
      return next + rng() % (3 * size);
    case 1:
      return next - std::min(next, size + rng() % 130 - 65);
    case 2:
      return next - std::min(next, rng() % (3 * size));
    case 3:
      return next + rng() % 130;
    default:
      return next - std::min(next, rng() % 200) + rng() % 20;
  }
}

template <uint64_t kSize>
void Differential(uint64_t seed, int steps) {
  std::mt19937_64 rng(seed);
  ReplayWindow<kSize> window;
  Model<kSize> model;
  if (seed % 3 == 1) {
    window.ResumeAt(kMax - 20 * kSize);
    model.ResumeAt(kMax - 20 * kSize);
  }
  for (int i = 0; i < steps; ++i) {
    if (rng() % 5000 == 0) {
      const uint64_t at = model.next() - std::min(model.next(), rng() % 100) + rng() % 200;
      window.ResumeAt(at);
      model.ResumeAt(at);
    }
    uint64_t counter = RandomCounter(rng, model.next(), kSize);
    const ReplayVerdict foretold = window.Check(counter);
    const ReplayVerdict want = model.Commit(counter);
    ASSERT_EQ(foretold, want) << "seed " << seed << " step " << i << " counter " << counter;
    ASSERT_EQ(window.Commit(counter), want) << "seed " << seed << " step " << i;
    ASSERT_EQ(window.next(), model.next());
  }
}

TEST(ReplayWindow, RandomRunsAgreeWithTheModel) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Differential<8192>(seed, 20000);
    Differential<64>(seed, 20000);
    Differential<192>(seed, 20000);
  }
}

}  // namespace
}  // namespace cipe
