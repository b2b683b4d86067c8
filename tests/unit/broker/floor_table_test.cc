// Floors belong to identities, the disk holds what a crash needs and no more.
#include "broker/floor_table.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

Stamp At(uint32_t n) {
  Stamp stamp{};
  for (int i = 0; i < 4; ++i) stamp[11 - i] = static_cast<uint8_t>(n >> (8 * i));
  return stamp;
}

ipc::Floor Sent(uint32_t sent, uint32_t reserved = 0, uint32_t received = 0) {
  return {At(sent), At(reserved), At(received)};
}

const Identities kNorth{"own", "north"};
const Identities kSouth{"own", "south"};

// As the broker does.
void Reserve(FloorTable& table, const Identities& who, uint32_t sent, uint32_t reserved) {
  EXPECT_TRUE(table.Update(who, Sent(sent, reserved), true));
  table.Reserved(who.own, table.UseOf(who.own), At(reserved));
}

TEST(FloorTable, AReservationIsGoodOnceItIsOnDisk) {
  FloorTable table({});
  table.Use(kNorth);
  EXPECT_TRUE(table.Update(kNorth, Sent(0, 500), true));
  EXPECT_EQ(table.ForDisk().sent["own"], At(500));
  EXPECT_EQ(table.Of(kNorth).sent_reserved, At(0)) << "nothing may be sent yet";
  table.Reserved("own", table.UseOf("own"), At(500));
  EXPECT_EQ(table.Of(kNorth).sent_reserved, At(500));
  EXPECT_FALSE(table.Update(kNorth, Sent(100, 900), false)) << "a write for every initiation";
  EXPECT_EQ(table.Of(kNorth).sent, At(100));
  EXPECT_EQ(table.ForDisk().sent["own"], At(500));
}

TEST(FloorTable, TheLastUserLeavesWhatWasSent) {
  FloorTable table({});
  table.Use(kNorth);
  table.Use(kSouth);
  Reserve(table, kNorth, 100, 500);
  table.Update(kSouth, Sent(120), false);
  table.Release(kNorth);
  EXPECT_EQ(table.ForDisk().sent["own"], At(500)) << "the other peer may use it";
  table.Release(kSouth);
  EXPECT_EQ(table.ForDisk().sent["own"], At(120));
  EXPECT_EQ(table.Of(kNorth).sent, At(120));
  EXPECT_EQ(table.Of(kNorth).sent_reserved, At(120)) << "the disk may say less now";
}

TEST(FloorTable, AnAnswerForAnEarlierUseReservesNothing) {
  FloorTable table({});
  table.Use(kNorth);
  table.Update(kNorth, Sent(100, 500), true);
  const uint64_t use = table.UseOf("own");
  table.Release(kNorth);
  table.Use(kNorth);
  table.Reserved("own", use, At(500));
  EXPECT_EQ(table.Of(kNorth).sent_reserved, At(100));
}

TEST(FloorTable, AKilledDaemonsReservationCountsAsSent) {
  Floors floors;
  floors.sent["own"] = At(500);
  const FloorTable table(floors);
  EXPECT_EQ(table.Of(kNorth).sent, At(500));
  EXPECT_EQ(table.ForDisk(), floors);
}

TEST(FloorTable, AnEngineThatSendsBeyondItsReservationIsBelieved) {
  FloorTable table({});
  table.Use(kNorth);
  EXPECT_TRUE(table.Update(kNorth, Sent(700), false));
  EXPECT_EQ(table.ForDisk().sent["own"], At(700));
}

TEST(FloorTable, WhatWasReceivedIsKeptPerPairAndCanBeForgotten) {
  FloorTable table({});
  table.Use(kNorth);
  table.Use(kSouth);
  EXPECT_TRUE(table.Update(kNorth, Sent(0, 0, 9), false));
  EXPECT_FALSE(table.Update(kNorth, Sent(0, 0, 9), false));
  EXPECT_EQ(table.Of(kSouth).received, At(0));
  table.Release(kNorth);
  table.Release(kSouth);
  EXPECT_EQ(table.ForDisk().received.size(), 1u);
  EXPECT_EQ(FloorTable(table.ForDisk()).Of(kNorth).received, At(9));
  EXPECT_TRUE(table.Update(kNorth, Sent(0), false)) << "forget-clock";
  EXPECT_TRUE(table.ForDisk().received.empty());
}

TEST(FloorTable, OnlyTheOldestOfThoseNotInUseAreDropped) {
  FloorTable table({}, 3);
  for (uint32_t i = 1; i <= 8; ++i) {
    const Identities who{absl::StrCat("own-", i), absl::StrCat("peer-", i)};
    table.Use(who);
    table.Update(who, Sent(i, 0, 100 + i), false);
    if (i != 1) table.Release(who);  // the oldest of all is in use
  }
  const Floors floors = table.ForDisk();
  EXPECT_EQ(floors.sent.size(), 4u);
  EXPECT_EQ(floors.received.size(), 4u);
  for (const int i : {1, 6, 7, 8}) {
    EXPECT_TRUE(floors.sent.contains(absl::StrCat("own-", i))) << i;
    EXPECT_TRUE(floors.received.contains({absl::StrCat("own-", i), absl::StrCat("peer-", i)}));
  }
}

}  // namespace
}  // namespace cipe::broker
