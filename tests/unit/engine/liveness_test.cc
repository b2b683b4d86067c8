#include "engine/liveness.h"

#include <gtest/gtest.h>

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;

// A peer that is looked at every half second, as the engine does.
class LivenessTest : public testing::Test {
 protected:
  void Pass(Duration span) {
    for (const Instant end = now_ + span; now_ < end; now_ += 500ms) Look();
  }
  void Look() {
    const Liveness::Step step = liveness_.Look(settings_, session_, heard_, now_);
    died_ += step.died;
    revived_ += step.revived;
    if (step.ping) {
      pings_.push_back(now_ - start_);
      liveness_.Sent(++id_, now_);
    }
    next_ = step.next;
  }
  Duration age() const { return now_ - start_; }

  const Instant start_ = FromNanos(1'000'000'000'000);
  Instant now_ = start_, heard_ = start_ - 1s, next_{};
  LivenessSettings settings_{10s, 3s, 0s};
  bool session_ = true;
  Liveness liveness_;
  uint64_t id_ = 0;
  std::vector<Duration> pings_;
  int died_ = 0, revived_ = 0;
};

TEST_F(LivenessTest, OffItDoesNothing) {
  settings_.ping = 0s;
  Pass(1h);
  EXPECT_TRUE(pings_.empty());
  EXPECT_EQ(died_, 0);
}

TEST_F(LivenessTest, AnswersAreMeasuredAndKeepTheRhythm) {
  for (int i = 0; i < 3; ++i) {
    Look();
    ASSERT_EQ(pings_.size(), static_cast<size_t>(i + 1));
    now_ += 40ms;
    EXPECT_FALSE(liveness_.Answered(id_ + 1, now_)) << "nobody asked that";
    EXPECT_TRUE(liveness_.Answered(id_, now_));
    EXPECT_FALSE(liveness_.Answered(id_, now_)) << "answered twice";
    EXPECT_EQ(liveness_.round_trip(), Duration(40ms));
    now_ = start_ + (i + 1) * 10s;
  }
  EXPECT_EQ(died_, 0);
}

TEST_F(LivenessTest, ThreeMissesInARowAreTheEnd) {
  Pass(9s);
  EXPECT_EQ(pings_, (std::vector<Duration>{0s, 3s, 6s})) << "a miss is followed up at once";
  EXPECT_EQ(died_, 0);
  Pass(500ms);
  EXPECT_EQ(died_, 1);
  EXPECT_TRUE(liveness_.dead());
  Pass(60s);
  EXPECT_EQ(died_, 1) << "once is enough";
  EXPECT_GE(pings_.size(), 8u);
  EXPECT_LE(pings_.size(), 10u) << "a dead peer is asked in the usual rhythm";
}

TEST_F(LivenessTest, AnythingHeardSinceCountsAsAnAnswer) {
  for (int i = 0; i < 100; ++i) {
    Pass(1s);
    heard_ = now_;  // data, but never an echo
  }
  EXPECT_EQ(died_, 0);
  EXPECT_EQ(pings_.size(), 10u);
  EXPECT_FALSE(liveness_.round_trip().has_value());
}

TEST_F(LivenessTest, MissesInARowAreCountedAndNoOthers) {
  for (int round = 0; round < 10; ++round) {
    Pass(7s);  // two misses, and the third request is under way
    ASSERT_TRUE(liveness_.Answered(id_, now_)) << round;
    Pass(9s);
  }
  EXPECT_EQ(died_, 0);
}

TEST_F(LivenessTest, ASignOfLifeBringsItBack) {
  Pass(20s);
  ASSERT_TRUE(liveness_.dead());
  heard_ = now_;
  Pass(500ms);
  EXPECT_EQ(revived_, 1);
  EXPECT_FALSE(liveness_.dead());
  Pass(30s);
  EXPECT_EQ(died_, 2) << "and it can die again";
  EXPECT_TRUE(liveness_.Alive()) << "by a handshake";
  EXPECT_FALSE(liveness_.Alive());
}

TEST_F(LivenessTest, WithoutTimeoutItOnlyMeasures) {
  settings_.timeout = 0s;
  Pass(100s);
  EXPECT_EQ(pings_.size(), 10u);
  EXPECT_EQ(died_, 0);
  EXPECT_TRUE(liveness_.Answered(id_, now_));
}

TEST_F(LivenessTest, OneRequestAtATimeHoweverLongItsTimeout) {
  settings_ = {1s, 20s, 0s};
  Pass(59s);
  EXPECT_EQ(pings_, (std::vector<Duration>{0s, 20s, 40s}));
  Pass(2s);
  EXPECT_EQ(died_, 1);
}

TEST_F(LivenessTest, WithoutSessionNothingIsSentAndNothingIsMissed) {
  session_ = false;
  Pass(100s);
  EXPECT_TRUE(pings_.empty());
  session_ = true;
  Pass(8s);
  EXPECT_EQ(died_, 0);
  Pass(2s);
  EXPECT_EQ(died_, 1);
  session_ = false;
  Pass(100s);
  EXPECT_TRUE(liveness_.dead()) << "silence is no sign of life";
  settings_.ping = 0s;
  Look();
  EXPECT_EQ(revived_, 1) << "who is not asked for is not dead";
}

TEST_F(LivenessTest, TheFirstRequestIsSpread) {
  settings_.spread = 4s;
  Pass(20s);
  EXPECT_EQ(pings_.front(), Duration(4s));
}

TEST_F(LivenessTest, SaysWhenToLookAgain) {
  Look();
  EXPECT_EQ(next_, now_ + 3s) << "for the answer";
  liveness_.Answered(id_, now_);
  now_ += 1s;
  Look();
  EXPECT_EQ(next_, start_ + 10s) << "for the next request";
}

}  // namespace
}  // namespace cipe::engine
