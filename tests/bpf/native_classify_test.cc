// The classifier without a kernel: every fixture, every truncation, random damage, the bucket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/bpf/native_world.h"

namespace cipe::bpftest {
namespace {

TEST(NativeClassify, EveryFixture) {
  NativeWorld world(MakeWorld(), kControlRate, kControlBurst);
  for (const Fixture& fixture : MakeFixtures()) {
    SCOPED_TRACE(fixture.description);
    for (int i = 1; i < fixture.repeat; ++i) EXPECT_EQ(world.Run(fixture.packet).verdict, 0);
    const native_result result = world.Run(fixture.packet);
    EXPECT_EQ(result.verdict, static_cast<int>(fixture.verdict));
    EXPECT_EQ(result.reason, fixture.reason);
    EXPECT_EQ(result.peer, fixture.peer);
    EXPECT_EQ(result.has_peer, fixture.peer != 0);
  }
}

TEST(NativeClassify, FixturesNameEveryReasonOfTheProgram) {
  std::set<uint32_t> expected, seen;
#define CIPE_DROP(number, name, sentence) \
  if (number < 32) expected.insert(number);
#include "cipe/abi/drop_reasons.def"
#undef CIPE_DROP
  for (const Fixture& fixture : MakeFixtures()) {
    if (fixture.verdict == Verdict::kDrop) seen.insert(fixture.reason);
  }
  EXPECT_EQ(seen, expected);
}

TEST(NativeClassify, TruncatedFramesAreNeverSteered) {
  NativeWorld world(MakeWorld(), 0, 0);
  for (const Fixture& fixture : MakeFixtures()) {
    if (fixture.verdict != Verdict::kSteer || fixture.description == "Ethernet padding behind") {
      continue;
    }
    for (size_t size = 0; size < fixture.packet.size(); ++size) {
      const Octets cut(fixture.packet.begin(), fixture.packet.begin() + size);
      EXPECT_EQ(world.Run(cut).verdict, 0) << fixture.description << " cut to " << size;
    }
  }
}

TEST(NativeClassify, DamagedFramesStayWithinTheirBounds) {
  NativeWorld world(MakeWorld(), 0, 0);
  std::array<int, 3> verdicts{};
  for (const Octets& frame : MutatedFrames(1, 100000)) {
    const native_result result = world.Run(frame);
    ASSERT_GE(result.verdict, 0);
    ASSERT_LE(result.verdict, 2);
    ASSERT_EQ(result.verdict == 1, result.reason != 0);
    ++verdicts[result.verdict];
  }
  EXPECT_THAT(verdicts, testing::Each(testing::Gt(1000)));
}

TEST(NativeClassify, WithoutCarrierEverythingPasses) {
  World world = MakeWorld();
  world.carrier = {};
  NativeWorld native(world, 0, 0);
  for (const Fixture& fixture : MakeFixtures()) EXPECT_EQ(native.Run(fixture.packet).verdict, 0);
}

TEST(SourceBucket, BurstThenRate) {
  constexpr uint64_t kCost = 5'000'000;  // 200 a second
  cipe_source_bucket bucket{1000, 4 * kCost};
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(native_bucket_take(&bucket, 1000, kCost, 4));
  EXPECT_FALSE(native_bucket_take(&bucket, 1000, kCost, 4));
  EXPECT_FALSE(native_bucket_take(&bucket, 1000 + kCost - 1, kCost, 4));
  EXPECT_TRUE(native_bucket_take(&bucket, 1000 + kCost, kCost, 4));
  EXPECT_FALSE(native_bucket_take(&bucket, 1000 + kCost, kCost, 4));
}

TEST(SourceBucket, CreditIsCappedAndTimeNeverRunsBack) {
  constexpr uint64_t kCost = 5'000'000;
  cipe_source_bucket bucket{1000, 0};
  constexpr uint64_t kMuchLater = uint64_t{1} << 62;
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(native_bucket_take(&bucket, kMuchLater, kCost, 4));
  EXPECT_FALSE(native_bucket_take(&bucket, kMuchLater, kCost, 4));
  EXPECT_FALSE(native_bucket_take(&bucket, 5, kCost, 4));  // another CPU's clock, a little behind
  EXPECT_EQ(bucket.refilled_ns, kMuchLater);
}

}  // namespace
}  // namespace cipe::bpftest
