// The tunnel as its users meet it: handshakes, data, rekeying, loss, restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/escaping.h"

#include "protocol/constants.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

std::multiset<uint32_t> Tags(const Host& host) {
  std::multiset<uint32_t> tags;
  for (const auto& inner : host.delivered) tags.insert(TagOf(inner));
  return tags;
}

class EachKind : public testing::TestWithParam<std::tuple<Suite, bool, bool>> {
 protected:
  PairOptions Options() const {
    PairOptions o;
    std::tie(o.suite, o.shared_key, o.outer_v6) = GetParam();
    return o;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, EachKind,
                         testing::Combine(testing::Values(Suite::kAesGcmSha256,
                                                          Suite::kChaChaPolyBlake2s),
                                          testing::Bool(), testing::Bool()));

TEST_P(EachKind, CarriesPacketsBothWays) {
  Pair net(Options());
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  ASSERT_TRUE(net.b->connected());
  const auto there = MakeInner("10.9.0.1", "10.9.0.2", 7);
  const auto back = MakeInner("fd09::2", "fd09::1", 8, 900);
  net.a->Inject(there);
  net.b->Inject(back);
  net.Run(1s);
  EXPECT_THAT(net.b->delivered, testing::ElementsAre(there));
  EXPECT_THAT(net.a->delivered, testing::ElementsAre(back));
  EXPECT_EQ(net.a->AllDrops() + net.b->AllDrops(), 0u);
}

TEST_P(EachKind, OnlyOneSideKnowsTheOther) {
  PairOptions o = Options();
  o.a_knows_b = false;
  Pair net(o);
  net.Run(1s);
  net.AToB(1);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST_P(EachKind, PacketsBeforeTheSessionWaitForIt) {
  PairOptions o = Options();
  o.b_knows_a = false;
  Pair net(o);
  for (uint32_t i = 0; i < 50; ++i) net.AToB(i);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 50u);
}

// Peers that are not there must not keep the room of those that are.
TEST(Staging, WhatWaitedTooLongMakesRoomAndItsSenderIsTold) {
  Pair net;
  net.network.filter = [](const Datagram&) { return false; };
  for (uint32_t i = 0; i < 200; ++i) net.AToB(i);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_staging_full), 72u);
  EXPECT_TRUE(net.a->answered.empty());
  net.Run(16s);
  net.AToB(1000);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_staging_expired), 128u);
  ASSERT_EQ(net.a->answered.size(), 128u);
  EXPECT_EQ(net.a->answered.front()[20], 3) << "ICMP destination unreachable";
  EXPECT_EQ(net.a->answered.front()[21], 1);
  net.network.filter = nullptr;
  net.Run(10s);
  EXPECT_THAT(Tags(*net.b), testing::ElementsAre(1000u));
}

TEST_P(EachKind, SurvivesLossReorderingAndDuplication) {
  Pair net(Options());
  net.network.weather = {.loss = 0.2, .duplication = 0.1, .reordering = 0.2};
  net.Run(30s);
  ASSERT_TRUE(net.a->connected());
  for (uint32_t i = 0; i < 2000; ++i) {
    net.AToB(i);
    if (i % 20 == 0) net.Run(10ms);
  }
  net.Run(2s);
  const auto tags = Tags(*net.b);
  EXPECT_EQ(std::set<uint32_t>(tags.begin(), tags.end()).size(), tags.size()) << "delivered twice";
  EXPECT_GT(tags.size(), 1500u);
  EXPECT_LT(tags.size(), 1700u);
}

TEST_P(EachKind, RekeysUnderTrafficWithoutLosingAnything) {
  PairOptions o = Options();
  o.rekey_s = 15;
  Pair net(o);
  net.Run(1s);
  const uint32_t first = net.a->peer().current->base();
  std::set<uint32_t> sessions;
  for (uint32_t i = 0; i < 2000; ++i) {
    net.AToB(i);
    net.BToA(i);
    net.Run(50ms);
    sessions.insert(net.a->peer().current->base());
  }
  EXPECT_GE(sessions.size(), 5u);
  EXPECT_NE(net.a->peer().current->base(), first);
  EXPECT_EQ(Tags(*net.b).size(), 2000u);
  EXPECT_EQ(Tags(*net.a).size(), 2000u);
}

TEST_P(EachKind, KilledEngineGoesOnWithoutHandshake) {
  Pair net(Options());
  net.Run(1s);
  for (uint32_t i = 0; i < 10; ++i) net.AToB(i);
  net.Run(100ms);
  const uint64_t used = net.a->peer().current->send_lane(0).next();
  const auto session = net.a->peer().current->base();
  const auto handshake = net.a->peer().latest_handshake;
  const size_t frames = net.network.record.size();
  net.a->CrashEngine();
  ASSERT_TRUE(net.a->connected());
  EXPECT_EQ(net.a->peer().current->base(), session);
  EXPECT_EQ(net.a->peer().latest_handshake, handshake);
  EXPECT_GE(net.a->peer().current->send_lane(0).next(), used);
  for (uint32_t i = 10; i < 20; ++i) net.AToB(i);
  net.BToA(1);
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 20u);
  EXPECT_EQ(net.a->delivered.size(), 1u);
  for (size_t i = frames; i < net.network.record.size(); ++i) {
    EXPECT_EQ(net.network.record[i].octets[0], protocol::kTypeData) << "a handshake was sent";
  }
}

TEST(Tunnel, NoCounterIsUsedTwiceAcrossManyCrashes) {
  Pair net;
  net.Run(1s);
  for (uint32_t i = 0; i < 20; ++i) {
    for (int k = 0; k < 5; ++k) net.AToB(i * 5 + k);
    net.Run(20ms);
    (i % 2 ? net.a : net.b)->CrashEngine();
  }
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 100u);
  std::set<std::pair<std::vector<uint8_t>, bool>> headers;
  for (const Datagram& d : net.network.record) {
    if (d.octets[0] != protocol::kTypeData) continue;
    const std::vector<uint8_t> header(d.octets.begin(), d.octets.begin() + 16);
    EXPECT_TRUE(headers.insert({header, d.from.address.octets[3] == 1}).second)
        << "counter used twice under one key";
  }
}

TEST(Tunnel, BothStartAtOnceAndAgree) {
  for (uint64_t seed = 1; seed < 20; ++seed) {
    PairOptions o;
    o.seed = seed;
    Pair net(o);
    net.Run(2s);
    ASSERT_TRUE(net.a->connected() && net.b->connected());
    net.AToB(1);
    net.BToA(2);
    net.Run(1s);
    EXPECT_EQ(net.b->delivered.size(), 1u);
    EXPECT_EQ(net.a->delivered.size(), 1u);
    EXPECT_EQ(net.a->peer().current->setup().local_index,
              net.b->peer().current->setup().remote_index)
        << "seed " << seed;
  }
}

TEST(Tunnel, KeysDieAfterTheirLifetimeWhenNobodyTalks) {
  Pair net;
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  net.Run(200s);
  EXPECT_FALSE(net.a->connected());
  EXPECT_FALSE(net.b->connected());
  EXPECT_EQ(net.a->store.sessions(), 0u);
  EXPECT_EQ(net.a->engine().sessions().size(), 0u);
  net.AToB(5);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 1u) << "traffic must bring the session back";
}

TEST(Tunnel, OneWayTrafficNeverStops) {
  Pair net;
  net.Run(1s);
  for (uint32_t i = 0; i < 4000; ++i) {
    net.BToA(i);
    net.Run(100ms);
  }
  EXPECT_EQ(net.a->delivered.size(), 4000u);
}

TEST(Tunnel, AnswersKeepSilentReceiversAlive) {
  Pair net;
  net.Run(1s);
  const size_t before = net.network.record.size();
  // Answers to probes of the path would do as well: let there be none.
  net.network.filter = [](const Datagram& d) { return d.octets.size() < 300; };
  net.AToB(1);
  net.Run(14s);
  size_t keepalives = 0;
  for (size_t i = before; i < net.network.record.size(); ++i) {
    keepalives += net.network.record[i].octets.size() == protocol::kDataOverhead;
  }
  EXPECT_GE(keepalives, 1u);
}

TEST(Tunnel, SilentPeerGetsNewHandshakeWithin15Seconds) {
  Pair net;
  net.Run(1s);
  net.network.filter = [](const Datagram& d) { return d.from.address.octets[3] != 2; };
  net.AToB(1);
  const size_t before = net.network.record.size();
  net.Run(17s);
  bool initiation = false;
  for (size_t i = before; i < net.network.record.size(); ++i) {
    const Datagram& d = net.network.record[i];
    initiation |= d.octets[0] == protocol::kTypeInitiation && d.from.address.octets[3] == 1;
  }
  EXPECT_TRUE(initiation);
}

TEST(Tunnel, GivesUpAfter90SecondsUntilThereIsTraffic) {
  Pair net;
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(120s);
  const size_t before = net.network.record.size();
  net.Run(600s);
  EXPECT_EQ(net.network.record.size(), before);
  net.AToB(1);
  net.Run(1s);
  EXPECT_GT(net.network.record.size(), before);
}

TEST(Tunnel, PeerThatRestartsIsBackAtOnce) {
  Pair net;
  net.Run(1s);
  net.b->RestartDaemon();
  net.Run(1s);
  net.AToB(1);
  net.BToA(2);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.a->delivered.size(), 1u);
}

TEST(Tunnel, WipedSessionsAreMadeAnew) {
  Pair net;
  net.Run(1s);
  const uint32_t before = net.a->peer().current->base();
  net.a->engine().WipeSessions();
  EXPECT_FALSE(net.a->connected());
  EXPECT_EQ(net.a->store.sessions(), 0u);
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  EXPECT_NE(net.a->peer().current->base(), before);
  net.BToA(1);
  net.Run(1s);
  EXPECT_EQ(net.a->delivered.size(), 1u);
}

TEST(Tunnel, TimeStampIsKeptBeforeTheResponseGoesOut) {
  Pair net({.b_knows_a = false});
  ipc::Floor last;
  int responses = 0;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] != protocol::kTypeResponse) return true;
    ++responses;
    EXPECT_GT(net.b->Floor().received, last.received) << "response " << responses;
    last = net.b->Floor();
    return false;
  };
  net.Run(30s);
  EXPECT_GE(responses, 5);
}

TEST(Tunnel, PeerWhoseClockWasAheadComesBackWhenItIsForgotten) {
  Pair net({.b_knows_a = false});
  net.clock.JumpWall(std::chrono::hours(87600));
  net.a->RestartDaemon();  // its first time stamp was reserved before the jump
  net.Run(1s);
  ASSERT_TRUE(net.b->connected());
  net.clock.JumpWall(-std::chrono::hours(87600));
  net.a->disk.floors = {};  // it starts anew with the right time
  net.a->LosePower();
  net.b->RestartDaemon();
  net.Run(20s);
  EXPECT_FALSE(net.b->connected());
  EXPECT_GT(net.b->Drops(cipe_drop_hs_clock_behind), 0u);
  EXPECT_THAT(net.b->engine().WhyNoSession(net.b->peer()),
              testing::HasSubstr("cipectl forget-clock b a"));
  engine::Tunnel& tunnel = net.b->tunnel();
  EXPECT_EQ(engine::Engine::FindPeer(tunnel, "nobody"), nullptr);
  const std::string key = absl::Base64Escape(
      std::string(net.b->peer().config.public_key.begin(), net.b->peer().config.public_key.end()));
  EXPECT_EQ(engine::Engine::FindPeer(tunnel, key), &net.b->peer());
  ASSERT_EQ(engine::Engine::FindPeer(tunnel, "a"), &net.b->peer());
  const ipc::Floor kept = net.b->engine().ForgetClock(net.b->peer());
  EXPECT_EQ(kept.received, ipc::Floor().received);
  EXPECT_EQ(kept.sent_reserved, net.b->Floor().sent_reserved) << "our own stays";
  net.Run(6s);
  EXPECT_TRUE(net.b->connected());
  net.AToB(1);
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST(Tunnel, ClockSetBackTenYearsStillConnects) {
  Pair net;
  net.Run(1s);
  net.clock.JumpWall(-std::chrono::hours(87600));
  net.a->RestartDaemon();
  net.Run(1s);
  EXPECT_TRUE(net.a->connected()) << "the floor on disk must carry the sender over";
  net.AToB(1);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST(Tunnel, RoamsWithTheFirstNewerFrame) {
  PairOptions o;
  o.a_knows_b = false;
  Pair net(o);
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  net.b->MoveTo(*Endpoint::Parse("198.51.100.7:4000"));
  net.BToA(1);
  net.Run(1s);
  EXPECT_EQ(net.a->peer().path.path.Get().remote.ToString(), "198.51.100.7:4000");
  net.AToB(2);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST(Tunnel, EcnGoesBothWaysThroughTheOuterHeader) {
  Pair net;
  net.Run(1s);
  net.a->Inject(MakeInner("10.9.0.1", "10.9.0.2", 1, 32, 2));  // ECT(0)
  EXPECT_EQ(net.network.record.back().ecn, 2);
  Datagram marked = net.network.record.back();
  net.network.filter = nullptr;
  net.Run(1s);
  ASSERT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.b->delivered[0][1] & 3, 2);
  net.network.filter = [](const Datagram&) { return false; };
  net.a->Inject(MakeInner("10.9.0.1", "10.9.0.2", 2, 32, 2));
  marked = net.network.record.back();
  net.network.filter = nullptr;
  marked.ecn = 3;  // a router on the way marks it
  net.network.Inject(marked);
  net.Run(1s);
  ASSERT_EQ(net.b->delivered.size(), 2u);
  EXPECT_EQ(net.b->delivered[1][1] & 3, 3);
  net.network.filter = [](const Datagram&) { return false; };
  net.a->Inject(MakeInner("10.9.0.1", "10.9.0.2", 3));  // Not-ECT
  marked = net.network.record.back();
  net.network.filter = nullptr;
  marked.ecn = 3;
  net.network.Inject(marked);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 2u);
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_ecn_invalid), 1u);
}

TEST(Tunnel, PacketWhileASessionIsConfirmedStartsNoHandshake) {
  PairOptions o;
  o.b_knows_a = false;
  Pair net(o);
  Datagram first;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] != protocol::kTypeData) return true;
    first = d;
    return false;
  };
  net.Run(1s);
  ASSERT_FALSE(first.octets.empty());
  net.network.filter = nullptr;
  // b's worker opens the frame, then has a packet to send, before b's control thread looks.
  net.network.Inject(first);
  net.network.Deliver();
  net.BToA(1);
  net.Run(1s);
  EXPECT_EQ(net.a->delivered.size(), 1u);
  for (const Datagram& d : net.network.record) {
    EXPECT_FALSE(d.octets[0] == protocol::kTypeInitiation && d.from.ToString() == "192.0.2.2:6789");
  }
}

}  // namespace
}  // namespace cipe::sim
