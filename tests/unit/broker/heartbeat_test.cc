#include "broker/heartbeat.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/clock.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HeartbeatTest : public testing::Test {
 protected:
  // Lets `count` beats pass, one at a time as a loop in good health sees them.
  void Beats(int count) {
    for (int i = 0; i < count; ++i) {
      clock_.Advance(seconds(2));
      ASSERT_TRUE(loop_->RunOnce(Duration::zero()).ok());
    }
  }
  ManualClock clock_{Instant{} + seconds(1000), WallTime{0}};
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::vector<uint64_t> asked_;
  int silent_ = 0;
  Heartbeat heartbeat_{*loop_, HeartbeatOptions{seconds(2), 5},
                       [this](uint64_t number) { asked_.push_back(number); },
                       [this] { ++silent_; }};
};

TEST_F(HeartbeatTest, SilenceIsToldOnceAfterTenSeconds) {
  heartbeat_.Start();
  Beats(5);
  EXPECT_EQ(asked_, (std::vector<uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(silent_, 0);
  Beats(1);
  EXPECT_EQ(silent_, 1);
  Beats(20);
  EXPECT_EQ(silent_, 1);
  EXPECT_EQ(asked_.size(), 5u) << "nobody is asked any more";
}

TEST_F(HeartbeatTest, AnAnswerHoweverLateStartsTheCountAnew) {
  heartbeat_.Start();
  Beats(5);
  heartbeat_.OnPong(1);
  Beats(5);
  EXPECT_EQ(silent_, 0);
  heartbeat_.OnPong(7);
  for (int i = 0; i < 100; ++i) {
    Beats(1);
    heartbeat_.OnPong(asked_.back());
  }
  EXPECT_EQ(silent_, 0);
}

TEST_F(HeartbeatTest, NumbersNeverSentAndThoseOfTheLastEngineDoNotCount) {
  heartbeat_.Start();
  Beats(2);
  heartbeat_.Start();
  Beats(1);
  ASSERT_EQ(asked_.back(), 3u);
  for (int i = 0; i < 5; ++i) {
    heartbeat_.OnPong(2);
    heartbeat_.OnPong(0);
    heartbeat_.OnPong(1000);
    Beats(1);
  }
  EXPECT_EQ(silent_, 1);
}

// A machine that slept for an hour: nobody was there to answer.
TEST_F(HeartbeatTest, StandingStillTogetherIsNoSilence) {
  heartbeat_.Start();
  Beats(3);
  heartbeat_.OnPong(3);
  clock_.Advance(seconds(3600));
  ASSERT_TRUE(loop_->RunOnce(Duration::zero()).ok());
  EXPECT_EQ(silent_, 0);
  heartbeat_.OnPong(asked_.back());
  Beats(4);
  EXPECT_EQ(silent_, 0);
}

TEST_F(HeartbeatTest, StopEndsIt) {
  heartbeat_.Start();
  Beats(2);
  heartbeat_.Stop();
  Beats(20);
  EXPECT_EQ(asked_.size(), 2u);
  EXPECT_EQ(silent_, 0);
}

}  // namespace
}  // namespace cipe::broker
