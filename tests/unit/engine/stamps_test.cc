// Which time stamp comes next, and what the disk has to be asked for.
#include "engine/stamps.h"

#include <gtest/gtest.h>

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;
using protocol::Tai64n;

constexpr WallTime kNow{1'800'000'000'000'000'000};
constexpr std::array<uint8_t, 32> kNorth{1}, kSouth{2};

WallTime Later(Duration d) { return WallTime{kNow.unix_ns + d.count()}; }
Tai64n At(Duration d) { return Tai64n::FromWall(Later(d)); }

TEST(Sender, AsksAheadOfTheClockAndThenUsesTheClock) {
  Sender sender;
  StampPair* north = sender.PairWith(kNorth);
  EXPECT_EQ(sender.Next(*north, kNow, false), std::nullopt);
  EXPECT_EQ(sender.Ask(*north, kNow, 1), At(10s));
  EXPECT_EQ(sender.Ask(*north, kNow, 2), std::nullopt) << "one question is enough";
  EXPECT_EQ(sender.Next(*north, kNow, true), std::nullopt) << "there is no answer yet";
  sender.Granted(At(10s));
  EXPECT_EQ(sender.Next(*north, Later(1s), false), At(1s));
  sender.Used(*north, At(1s));
  EXPECT_EQ(sender.sent(), At(1s));
  EXPECT_EQ(sender.Next(*north, Later(1s), false), At(1s + 20ms)) << "never one twice";
  EXPECT_EQ(sender.Next(*north, Later(-1h), false), At(1s + 20ms)) << "whatever the clock does";
  EXPECT_EQ(sender.Next(*north, Later(10s), false), At(10s));
  EXPECT_EQ(sender.Next(*north, Later(10s + 20ms), false), std::nullopt);
}

TEST(Sender, PeersDoNotPushEachOtherAhead) {
  Sender sender;
  sender.Start({}, At(10s));
  StampPair* north = sender.PairWith(kNorth);
  StampPair* south = sender.PairWith(kSouth);
  sender.Used(*north, *sender.Next(*north, kNow, false));
  EXPECT_EQ(sender.Next(*south, kNow, false), At(0s));
  EXPECT_EQ(sender.PairWith(kNorth), north);
}

TEST(Sender, AFloorAheadOfTheClockIsGoneOnFromWithSmallReservations) {
  Sender sender;
  sender.Start(At(1h), At(1h));
  StampPair* north = sender.PairWith(kNorth);
  EXPECT_EQ(sender.Next(*north, kNow, false), std::nullopt);
  EXPECT_EQ(sender.Ask(*north, kNow, 1), At(1h + 220ms));
  sender.Granted(At(1h + 220ms));
  EXPECT_EQ(sender.Next(*north, kNow, false), At(1h + 20ms));
}

TEST(Sender, WhoWaitedTakesWhatTheDiskGaveThoughTheClockWentOn) {
  Sender sender;
  StampPair* north = sender.PairWith(kNorth);
  StampPair* south = sender.PairWith(kSouth);
  ASSERT_EQ(sender.Ask(*north, kNow, 1), At(10s));
  sender.Granted(At(10s));
  EXPECT_EQ(sender.Next(*north, Later(60s), false), std::nullopt);
  for (StampPair* pair : {north, south}) {
    ASSERT_EQ(sender.Next(*pair, Later(60s), true), At(10s));
    sender.Used(*pair, At(10s));
    EXPECT_EQ(sender.Next(*pair, Later(60s), true), std::nullopt);
  }
}

TEST(Sender, OnlyTheAskerTakesTheQuestionBack) {
  Sender sender;
  StampPair* north = sender.PairWith(kNorth);
  ASSERT_TRUE(sender.Ask(*north, kNow, 1).has_value());
  sender.Refused(2);
  EXPECT_FALSE(sender.Ask(*north, kNow, 2).has_value());
  sender.Refused(1);
  EXPECT_TRUE(sender.Ask(*north, kNow, 2).has_value());
  EXPECT_EQ(sender.Next(*north, kNow, false), std::nullopt);
}

TEST(Sender, AnotherTunnelTakesNothingBack) {
  Sender sender;
  sender.Start(At(5s), At(10s));
  sender.Start({}, {});
  EXPECT_EQ(sender.sent(), At(5s));
  EXPECT_EQ(sender.reserved(), At(10s));
  EXPECT_EQ(sender.Next(*sender.PairWith(kNorth), kNow, false), At(5s + 20ms));
}

TEST(Senders, AreSharedByIdentityWhileSomebodyHoldsThem) {
  Senders senders;
  const std::array<uint8_t, 8> id{7};
  auto first = senders.Of(kNorth);
  EXPECT_EQ(senders.Of(kNorth), first);
  EXPECT_NE(senders.Of(kSouth), first);
  EXPECT_NE(senders.Of(id), first);
  first->Start(At(1s), At(1s));
  first.reset();
  EXPECT_EQ(senders.Of(kNorth)->sent(), Tai64n());
  for (int i = 0; i < 1000; ++i) {
    senders.Of(std::array<uint8_t, 2>{static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8)});
  }
}

}  // namespace
}  // namespace cipe::engine
