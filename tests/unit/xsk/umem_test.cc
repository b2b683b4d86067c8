#include "xsk/umem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>
#include <set>

#include "xsk/xsk_socket.h"

namespace cipe::xsk {
namespace {

constexpr UmemLayout kSmall{.frame_size = 2048, .frame_count = 8, .headroom = 0};

TEST(UmemLayout, RejectsWhatTheKernelWould) {
  EXPECT_TRUE(UmemLayout{}.Validate().ok());
  for (UmemLayout bad : {UmemLayout{1024, 8, 0}, UmemLayout{3000, 8, 0}, UmemLayout{8192, 8, 0},
                         UmemLayout{2048, 0, 0}, UmemLayout{2048, 7, 0},
                         UmemLayout{2048, 131072, 0}, UmemLayout{2048, 8, 1025}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(bad.Validate()))
        << bad.frame_size << " " << bad.frame_count;
    EXPECT_FALSE(UmemRegion::Create(bad).ok());
  }
}

TEST(RingSizes, PowersOfTwoAndAtLeastOneDirection) {
  EXPECT_TRUE(RingSizes{}.Validate().ok());
  EXPECT_TRUE((RingSizes{64, 64, 0, 64}).Validate().ok());
  EXPECT_FALSE((RingSizes{0, 64, 64, 64}).Validate().ok());
  EXPECT_FALSE((RingSizes{64, 63, 64, 64}).Validate().ok());
  EXPECT_FALSE((RingSizes{64, 64, 0, 0}).Validate().ok());
}

TEST(UmemRegion, TwoMappingsAreTheSameMemory) {
  auto broker = UmemRegion::Create(kSmall);
  ASSERT_TRUE(broker.ok()) << broker.status();
  auto engine = UmemRegion::Adopt(UniqueFd(dup(broker->fd())), kSmall);
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_NE(broker->data(), engine->data());
  broker->At(5000)[0] = 0x5a;
  EXPECT_EQ(engine->At(5000)[0], 0x5a);
  UmemRegion moved = *std::move(broker);
  EXPECT_EQ(moved.At(5000)[0], 0x5a);
}

TEST(UmemRegion, ResizedOrUnsealedMemoryIsRefused) {
  auto region = UmemRegion::Create(kSmall);
  ASSERT_TRUE(region.ok());
  EXPECT_NE(ftruncate(region->fd(), 4096), 0) << "sealed against shrinking";
  UmemLayout other = kSmall;
  other.frame_count = 16;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(UmemRegion::Adopt(UniqueFd(dup(region->fd())), other).status()));
  UniqueFd unsealed(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(unsealed.get(), static_cast<off_t>(kSmall.bytes())), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(UmemRegion::Adopt(std::move(unsealed), kSmall).status()));
  EXPECT_FALSE(UmemRegion::Adopt(UniqueFd(), kSmall).ok());
}

TEST(UmemRegion, HoldsOnlyWhatLiesInOneFrame) {
  auto region = UmemRegion::Create(kSmall);
  ASSERT_TRUE(region.ok());
  EXPECT_TRUE(region->Holds(0, 2048));
  EXPECT_TRUE(region->Holds(256, 1792));
  EXPECT_FALSE(region->Holds(256, 1793));
  EXPECT_TRUE(region->Holds(8 * 2048 - 1, 1));
  EXPECT_FALSE(region->Holds(8 * 2048, 0));
  EXPECT_FALSE(region->Holds(~uint64_t{0}, 1));
  EXPECT_FALSE(region->Holds(0, ~uint32_t{0}));
}

TEST(FramePool, HandsOutEachFrameOnce) {
  FramePool pool(kSmall);
  std::vector<uint64_t> frames(10);
  EXPECT_EQ(pool.Take(absl::MakeSpan(frames)), 8u);
  EXPECT_EQ(pool.Take(absl::MakeSpan(frames).subspan(8)), 0u);
  EXPECT_EQ((std::set<uint64_t>(frames.begin(), frames.begin() + 8).size()), 8u);
  EXPECT_EQ(pool.outstanding(), 8u);
}

TEST(FramePool, TakesBackOnlyWhatIsOutstanding) {
  FramePool pool(kSmall);
  uint64_t frame[1];
  ASSERT_EQ(pool.Take(absl::MakeSpan(frame)), 1u);
  EXPECT_FALSE(pool.Give(kSmall.bytes()));
  EXPECT_FALSE(pool.Give(~uint64_t{0}));
  EXPECT_FALSE(pool.Give((frame[0] + 2048) % kSmall.bytes())) << "never taken";
  EXPECT_TRUE(pool.Give(frame[0] + 300)) << "anywhere into the frame";
  EXPECT_FALSE(pool.Give(frame[0])) << "given twice";
  EXPECT_EQ(pool.outstanding(), 0u);
  EXPECT_EQ(pool.available(), 8u);
  uint64_t again[1];
  ASSERT_EQ(pool.Take(absl::MakeSpan(again)), 1u);
  EXPECT_EQ(again[0], frame[0]) << "start of the frame, last in first out";
}

TEST(FramePool, LosesNothingOverManyRounds) {
  FramePool pool({.frame_size = 4096, .frame_count = 64, .headroom = 0});
  std::mt19937 random(3);
  std::set<uint64_t> held;
  for (int round = 0; round < 20000; ++round) {
    if (random() % 2) {
      std::vector<uint64_t> frames(random() % 20);
      const uint32_t got = pool.Take(absl::MakeSpan(frames));
      for (uint32_t i = 0; i < got; ++i) ASSERT_TRUE(held.insert(frames[i]).second);
    } else if (!held.empty()) {
      ASSERT_TRUE(pool.Give(*held.begin() + random() % 4096));
      held.erase(held.begin());
    }
    ASSERT_EQ(pool.outstanding(), held.size());
    ASSERT_EQ(pool.available() + pool.outstanding(), 64u);
  }
}

}  // namespace
}  // namespace cipe::xsk
