// Ring wrappers against a second wrapper (or plain words) on the other side of the same memory.
#include "xsk/xsk_rings.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace cipe::xsk {
namespace {

constexpr uint32_t kSize = 8;

struct Shared {
  explicit Shared(uint32_t start = 0) : producer(start), consumer(start) {}
  RingWords<uint64_t> Words() { return {&producer, &consumer, &flags, entries.data(), kSize}; }
  alignas(64) uint32_t producer;
  alignas(64) uint32_t consumer;
  alignas(64) uint32_t flags = 0;
  std::array<uint64_t, kSize> entries{};
};

TEST(Rings, WhatGoesInComesOutInOrder) {
  Shared shared;
  ProducerRing<uint64_t> in(shared.Words());
  ConsumerRing<uint64_t> out(shared.Words());
  uint32_t slot = 0;
  ASSERT_EQ(in.Reserve(5, &slot), 5u);
  for (uint32_t i = 0; i < 5; ++i) in.At(slot + i) = 100 + i;
  EXPECT_EQ(out.Peek(8, &slot), 0u) << "reserved is not submitted";
  in.Submit(2);
  ASSERT_EQ(out.Peek(8, &slot), 2u);
  EXPECT_EQ(out.At(slot), 100u);
  in.Submit(3);
  uint32_t next = 0;
  ASSERT_EQ(out.Peek(2, &next), 2u);
  EXPECT_EQ(out.At(next), 102u);
  EXPECT_EQ(in.Pending(), 5u) << "peeked is not released";
  out.Release(4);
  EXPECT_EQ(in.Pending(), 1u);
}

TEST(Rings, FullRingTakesNoMore) {
  Shared shared;
  ProducerRing<uint64_t> in(shared.Words());
  ConsumerRing<uint64_t> out(shared.Words());
  uint32_t slot = 0;
  EXPECT_EQ(in.Reserve(20, &slot), kSize);
  EXPECT_EQ(in.Reserve(1, &slot), 0u);
  in.Unreserve(3);
  EXPECT_EQ(in.Reserve(20, &slot), 3u);
  in.Submit(kSize);
  EXPECT_EQ(in.Free(1), 0u);
  ASSERT_EQ(out.Peek(3, &slot), 3u);
  out.Release(3);
  EXPECT_EQ(in.Free(20), 3u);
}

TEST(Rings, IndicesWrapAround) {
  Shared shared(0xfffffffdu);
  ProducerRing<uint64_t> in(shared.Words());
  ConsumerRing<uint64_t> out(shared.Words());
  for (uint64_t value = 0; value < 50; ++value) {
    uint32_t slot = 0;
    ASSERT_EQ(in.Reserve(1, &slot), 1u);
    in.At(slot) = value;
    in.Submit(1);
    ASSERT_EQ(out.Peek(8, &slot), 1u);
    ASSERT_EQ(out.At(slot), value);
    out.Release(1);
  }
  EXPECT_EQ(shared.producer, 47u);
}

TEST(Rings, SecondUserGoesOnWhereTheFirstStopped) {
  Shared shared;
  uint32_t slot = 0;
  ProducerRing<uint64_t> first(shared.Words());
  ASSERT_EQ(first.Reserve(6, &slot), 6u);
  first.At(slot) = 7;
  first.Submit(6);
  ProducerRing<uint64_t> second(shared.Words());
  EXPECT_EQ(second.Free(20), 2u);
  ConsumerRing<uint64_t> out(shared.Words());
  ASSERT_EQ(out.Peek(1, &slot), 1u);
  EXPECT_EQ(out.At(slot), 7u);
}

TEST(Rings, IndexFromNowhereGivesNothing) {
  Shared shared;
  ConsumerRing<uint64_t> out(shared.Words());
  shared.producer = 1000;
  uint32_t slot = 0;
  EXPECT_EQ(out.Peek(8, &slot), 0u);
  Shared other;
  ProducerRing<uint64_t> in(other.Words());
  ASSERT_EQ(in.Reserve(kSize, &slot), kSize);
  in.Submit(kSize);
  other.consumer = 1000;
  EXPECT_EQ(in.Reserve(1, &slot), 0u);
}

TEST(Rings, NeedsWakeupFollowsTheFlag) {
  Shared shared;
  ProducerRing<uint64_t> in(shared.Words());
  EXPECT_FALSE(in.NeedsWakeup());
  shared.flags = XDP_RING_NEED_WAKEUP;
  EXPECT_TRUE(in.NeedsWakeup());
}

TEST(Rings, AbsentRingIsEmptyAndFull) {
  ProducerRing<xdp_desc> in;
  ConsumerRing<xdp_desc> out;
  uint32_t slot = 0;
  EXPECT_EQ(in.Reserve(1, &slot), 0u);
  EXPECT_EQ(in.Pending(), 0u);
  EXPECT_FALSE(in.NeedsWakeup());
  EXPECT_EQ(out.Peek(1, &slot), 0u);
}

// Under ThreadSanitizer this also proves that entries are ordered by the indices.
TEST(Rings, TwoThreads) {
  Shared shared;
  constexpr uint64_t kValues = 100000;
  std::thread producer([&] {
    ProducerRing<uint64_t> in(shared.Words());
    for (uint64_t value = 0; value < kValues;) {
      uint32_t slot = 0;
      const uint32_t got = in.Reserve(3, &slot);
      for (uint32_t i = 0; i < got; ++i) in.At(slot + i) = value++;
      in.Submit(got);
      if (got == 0) std::this_thread::yield();
    }
  });
  ConsumerRing<uint64_t> out(shared.Words());
  uint64_t expected = 0;
  bool in_order = true;
  while (expected < kValues) {
    uint32_t slot = 0;
    const uint32_t got = out.Peek(5, &slot);
    for (uint32_t i = 0; i < got; ++i) in_order &= out.At(slot + i) == expected++;
    out.Release(got);
    if (got == 0) std::this_thread::yield();
  }
  producer.join();
  EXPECT_TRUE(in_order);
}

TEST(XskRings, OtherDescriptorsAreRefused) {
  UniqueFd null(open("/dev/null", O_RDWR));
  EXPECT_TRUE(absl::IsInvalidArgument(XskRings::Map(null.get(), {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(XskRings::Map(-1, {}).status()));
}

}  // namespace
}  // namespace cipe::xsk
