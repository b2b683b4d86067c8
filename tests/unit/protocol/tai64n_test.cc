#include "protocol/tai64n.h"

#include <gtest/gtest.h>

namespace cipe::protocol {
namespace {

using namespace std::chrono_literals;

TEST(Tai64n, KnownLabel) {
  // TAI64 label of 1970-01-01 00:00:00 UTC; leap seconds after 1970 are not counted.
  const Tai64n t = Tai64n::FromWall(WallTime{0});
  EXPECT_EQ(t.octets, (std::array<uint8_t, 12>{0x40, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0}));
  EXPECT_TRUE(t.IsValid());
}

TEST(Tai64n, RoundsDownTo20Milliseconds) {
  EXPECT_EQ(Tai64n::FromWall(WallTime{1'019'999'999}).UnixNanos(), 1'000'000'000);
  EXPECT_EQ(Tai64n::FromWall(WallTime{1'020'000'000}).UnixNanos(), 1'020'000'000);
  EXPECT_EQ(Tai64n::FromWall(WallTime{-5}).UnixNanos(), 0);
}

TEST(Tai64n, OrderIsTimeOrder) {
  Tai64n last = Tai64n::FromWall(WallTime{0});
  for (int64_t ns = 20'000'000; ns < 30'000'000'000; ns += 20'000'000) {
    const Tai64n t = Tai64n::FromWall(WallTime{ns});
    EXPECT_GT(t, last);
    EXPECT_FALSE(t > t);
    EXPECT_EQ(t.UnixNanos(), ns);
    last = t;
  }
}

TEST(Tai64n, PlusStaysInRange) {
  const Tai64n t = Tai64n::FromWall(WallTime{1'000'000'000});
  EXPECT_EQ(t.Plus(20ms).UnixNanos(), 1'020'000'000);
  EXPECT_EQ(t.Plus(-2s).UnixNanos(), 0);
  EXPECT_TRUE(t.Plus(Duration::max()).IsValid());
  EXPECT_TRUE(t.Plus(Duration::max()).Plus(Duration::max()).IsValid());
  EXPECT_GT(t.Plus(Duration::max()), t);
}

TEST(Tai64n, InvalidLabels) {
  Tai64n t;
  t.octets.fill(0xff);
  EXPECT_FALSE(t.IsValid());
  EXPECT_EQ(t.UnixNanos(), 0);
  EXPECT_FALSE(Tai64n().IsValid());
}

}  // namespace
}  // namespace cipe::protocol
