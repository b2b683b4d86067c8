// "Bad input gets": replays, reflections, forged endpoints, wrong secrets, floods.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/refusal.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

INSTANTIATE_TEST_SUITE_P(Kinds, EachSuite,
                         testing::Combine(testing::Values(Suite::kAesGcmSha256,
                                                          Suite::kChaChaPolyBlake2s),
                                          testing::Bool()));

TEST_P(EachSuite, EveryRecordedFrameReplayed) {
  Pair net(Options());
  net.Run(1s);
  for (uint32_t i = 0; i < 20; ++i) net.AToB(i);
  net.Run(1s);
  const auto record = net.network.record;
  const size_t delivered = net.b->delivered.size();
  for (const Datagram& d : record) {
    if (d.from.address.octets[3] != 1) continue;
    ExpectRefused(net, d.octets, kA, "replay");
    ExpectRefused(net, d.octets, kStranger, "replay from elsewhere");
  }
  net.b->CrashEngine();
  for (const Datagram& d : record) {
    if (d.from.address.octets[3] == 1) ExpectRefused(net, d.octets, kA, "replay after take-over");
  }
  net.b->RestartDaemon();
  for (const Datagram& d : record) {
    if (d.from.address.octets[3] == 1) ExpectRefused(net, d.octets, kA, "replay after restart");
  }
  EXPECT_EQ(net.b->delivered.size(), delivered);
}

TEST_P(EachSuite, OwnFramesReflected) {
  Pair net(Options());
  net.Run(1s);
  net.BToA(1);
  net.AToB(2);
  net.Run(1s);
  net.network.filter = [](const Datagram&) { return false; };
  for (const char* when : {"as it was", "after take-over", "after restart"}) {
    if (when == absl::string_view("after take-over")) net.a->CrashEngine();
    if (when == absl::string_view("after restart")) net.a->RestartDaemon();
    net.Run(2s);  // settle the restarted side's own attempts
    const auto record = net.network.record;
    for (const Datagram& d : record) {
      if (d.from.address.octets[3] != 1) continue;
      ExpectRefusedBy(net, *net.a, kA, d.octets, kStranger, when);
      ExpectRefusedBy(net, *net.a, kA, d.octets, kB, when);
    }
  }
}

TEST(Hostile, UnknownIndexAndLane) {
  Pair net;
  net.Run(1s);
  net.network.filter = [](const Datagram&) { return false; };
  net.AToB(1);
  const Datagram good = net.network.record.back();
  net.network.filter = nullptr;
  for (int lane = 1; lane < 64; ++lane) {
    std::vector<uint8_t> bad = good.octets;
    bad[4] |= static_cast<uint8_t>(lane);
    ExpectRefused(net, bad, kA, "lane");
  }
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_unknown_lane), 63u);
  std::vector<uint8_t> bad = good.octets;
  bad[7] ^= 0x80;
  ExpectRefused(net, bad, kA, "index");
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_unknown_session), 1u);
}

TEST(Hostile, ForgedEndpointMovesNothing) {
  Pair net;
  net.Run(1s);
  net.AToB(1);
  net.Run(1s);
  // An old frame again, from somewhere else, and a delayed one after a newer one.
  net.network.filter = [](const Datagram&) { return false; };
  net.AToB(2);
  Datagram delayed = net.network.record.back();
  net.network.filter = nullptr;
  net.AToB(3);
  net.Run(1s);
  delayed.from = kStranger;
  net.network.Inject(delayed);
  net.Run(1s);
  EXPECT_EQ(net.b->delivered.size(), 3u) << "a late frame is still good";
  EXPECT_EQ(net.b->peer().path.path.Get().remote, kA) << "but moves no endpoint";
}

// Somebody between the two sends a true initiation on from elsewhere, before the true one arrives.
TEST(Hostile, AnInitiationFromElsewhereMovesNothing) {
  PairOptions o;
  o.rekey_s = 15;
  o.b_knows_a = false;
  Pair net(o);
  net.Run(1s);
  ASSERT_TRUE(net.b->connected());
  std::vector<Datagram> stolen;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] == protocol::kTypeInitiation) stolen.push_back(d);
    return d.octets[0] != protocol::kTypeInitiation;
  };
  for (uint32_t i = 0; i < 200 && stolen.empty(); ++i) {
    net.AToB(i);
    net.Run(100ms);
  }
  ASSERT_FALSE(stolen.empty());
  stolen[0].from = kStranger;
  net.network.Inject(stolen[0]);
  net.Run(1ms);
  ASSERT_NE(net.b->peer().next, nullptr);
  for (uint32_t i = 0; i < 10; ++i) {
    net.BToA(i);
    net.Run(100ms);
  }
  EXPECT_EQ(net.b->peer().path.path.Get().remote, kA);
  EXPECT_EQ(net.a->delivered.size(), 10u);
  for (const Datagram& d : net.network.record) {
    if (d.to == kStranger) {
      EXPECT_EQ(d.octets[0], protocol::kTypeResponse);
    }
  }
}

TEST(Hostile, InnerSourceMustBeAllowed) {
  Pair net;
  net.Run(1s);
  net.a->Inject(MakeInner("10.9.0.77", "10.9.0.2", 1));
  net.Run(1s);
  EXPECT_TRUE(net.b->delivered.empty());
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_source_not_allowed), 1u);
}

TEST(Hostile, WrongPresharedKeyIsReportedByTheInitiator) {
  PairOptions o;
  o.psk_a = std::array<uint8_t, 32>{1};
  o.psk_b = std::array<uint8_t, 32>{2};
  o.b_knows_a = false;
  Pair net(o);
  net.Run(7s);
  EXPECT_FALSE(net.a->connected());
  EXPECT_GE(net.a->Drops(cipe_drop_hs_wrong_psk), 1u);
  EXPECT_THAT(net.a->engine().WhyNoSession(net.a->peer()), testing::HasSubstr("preshared key"));
}

TEST(Hostile, WrongKeyOrOtherSuiteGetsSilence) {
  for (const bool suite : {false, true}) {
    Pair net;
    net.network.record.clear();
    HostOptions wrong = net.OptionsOf(true);
    if (suite) {
      wrong.config.suite = Suite::kChaChaPolyBlake2s;
    } else {
      SeededRng rng(5);
      wrong.config.private_key = GeneratePrivateKey(rng);
    }
    net.a.reset();
    Pair* p = &net;
    p->network.record.clear();
    auto stranger = std::make_unique<Host>(std::move(wrong), p->clock, p->network);
    HostOptions silent = p->OptionsOf(false);
    silent.peer_endpoints = {Endpoint{}};
    silent.config.peers[0].endpoints.clear();
    p->b.reset();
    auto b = std::make_unique<Host>(std::move(silent), p->clock, p->network);
    p->network.record.clear();
    sim::Run(p->clock, p->network, {stranger.get(), b.get()}, 20s);
    EXPECT_FALSE(stranger->connected());
    for (const Datagram& d : p->network.record) {
      EXPECT_EQ(d.from.address.octets[3], 1) << "the stranger was answered";
    }
    EXPECT_GE(b->Drops(suite ? cipe_drop_hs_other_suite : cipe_drop_hs_unknown_peer), 3u);
  }
}

TEST(Hostile, FloodGetsCookiesAndTheEstablishedPeerKeepsWorking) {
  PairOptions o;
  o.load_limit = 20;
  o.rekey_s = 15;
  Pair net(o);
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  // A stranger who knows b's public key: valid mac1, key of nobody.
  HostOptions flood = net.OptionsOf(true);
  SeededRng rng(9);
  flood.config.private_key = GeneratePrivateKey(rng);
  flood.at = kStranger;
  std::vector<Datagram> storm;
  for (int i = 0; i < 200; ++i) {
    Network nowhere(net.clock, 1);
    flood.seed = static_cast<uint64_t>(1000 + i);
    HostOptions copy = net.OptionsOf(true);
    copy.config.private_key = flood.config.private_key->Clone();
    copy.at = kStranger;
    copy.seed = flood.seed;
    Host source(std::move(copy), net.clock, nowhere);
    sim::Run(net.clock, nowhere, {&source}, 1us);
    ASSERT_FALSE(nowhere.record.empty());
    storm.push_back(nowhere.record[0]);
  }
  const uint32_t first = net.b->peer().current->base();
  size_t sent = 0;
  for (uint32_t i = 0; i < 400; ++i) {
    for (size_t k = 0; k < 20; ++k) net.network.Inject(storm[sent++ % storm.size()]);
    net.AToB(i);
    net.Run(50ms);
  }
  EXPECT_EQ(net.b->delivered.size(), 400u);
  EXPECT_NE(net.b->peer().current->base(), first) << "must be able to rekey";
  EXPECT_GE(net.b->Drops(cipe_drop_hs_bad_mac2), 1000u);
  for (const Datagram& d : net.network.record) {
    if (d.to == kStranger) {
      EXPECT_EQ(d.octets[0], protocol::kTypeCookieReply);
    }
  }
}

// A time stamp that is not reserved could come twice after a crash: none goes out then.
TEST(Hostile, FullDiskStartsNoHandshakeSaysWhyAndGoesOnWhenThereIsRoom) {
  Pair net({.b_knows_a = false});
  net.a->disk_works = false;
  net.Run(30s);
  EXPECT_FALSE(net.a->connected());
  EXPECT_TRUE(net.network.record.empty());
  EXPECT_THAT(net.a->engine().WhyNoSession(net.a->peer()),
              testing::HasSubstr("no space left on device"));
  EXPECT_LE(net.a->writes, 7) << "a full disk is asked once per retry";
  net.a->disk_works = true;
  net.Run(6s);
  EXPECT_TRUE(net.a->connected());
}

TEST(Hostile, FullDiskStillAnswers) {
  Pair net({.b_knows_a = false});
  net.b->disk_works = false;
  net.Run(1s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_TRUE(net.b->connected());
}

}  // namespace
}  // namespace cipe::sim
