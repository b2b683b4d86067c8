// "Bad input gets": rejected, counted, no state changed, no answer to a stranger.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/constants.h"
#include "protocol/frame.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

// What must not change when a frame is refused.
struct State {
  const session::Session *previous, *current, *next;
  session::Path path;
  protocol::Tai64n received;
  size_t sessions, delivered;
  uint64_t greatest;
  friend bool operator==(const State&, const State&) = default;
};

State StateOf(Host& host) {
  engine::Peer& p = host.peer();
  return {p.previous, p.current, p.next, p.path.path.Get(), p.received,
          host.engine().sessions().size(), host.delivered.size(),
          p.current ? p.current->receive_lane(0).greatest() : 0};
}

// Sends `octets` to b as if from `from`; b must refuse and count it, change nothing, say nothing.
void ExpectRefused(Pair& net, std::vector<uint8_t> octets, const Endpoint& from,
                   const std::string& what) {
  const State before = StateOf(*net.b);
  const uint64_t drops = net.b->AllDrops();
  const size_t sent = net.network.record.size();
  net.network.Inject({from, *Endpoint::Parse("192.0.2.2:6789"), std::move(octets), 0});
  net.network.Deliver();
  net.b->Turn();
  EXPECT_EQ(StateOf(*net.b), before) << what;
  EXPECT_EQ(net.b->AllDrops(), drops + 1) << what << ": must be counted once";
  EXPECT_EQ(net.network.record.size(), sent) << what << ": must not be answered";
}

const Endpoint kA = *Endpoint::Parse("192.0.2.1:6789");
const Endpoint kStranger = *Endpoint::Parse("203.0.113.66:6666");

// The first frame of a type that a sent, taken before b saw it.
Datagram Capture(Pair& net, uint8_t type, int sender_last_octet) {
  for (const Datagram& d : net.network.record) {
    if (d.octets[0] == type && d.from.address.octets[3] == sender_last_octet) return d;
  }
  ADD_FAILURE() << "no frame of type " << int{type};
  return {};
}

class EachSuite : public testing::TestWithParam<std::tuple<Suite, bool>> {
 protected:
  PairOptions Options() const {
    PairOptions o;
    std::tie(o.suite, o.shared_key) = GetParam();
    o.b_knows_a = false;   // a alone starts
    return o;
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, EachSuite,
                         testing::Combine(testing::Values(Suite::kAesGcmSha256,
                                                          Suite::kChaChaPolyBlake2s),
                                          testing::Bool()));

TEST_P(EachSuite, EverySingleBitOfAnInitiation) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(1ms);
  const Datagram good = Capture(net, protocol::kTypeInitiation, 1);
  net.network.filter = nullptr;
  const size_t mac2 = good.octets.size() - protocol::kMacSize;
  for (size_t bit = 0; bit < mac2 * 8; ++bit) {
    std::vector<uint8_t> bad = good.octets;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefused(net, bad, kA, "bit " + std::to_string(bit));
    net.clock.Advance(20ms);
  }
  net.network.Inject(good);
  net.network.Deliver();
  net.b->Turn();
  EXPECT_NE(net.b->peer().next, nullptr) << "the true one must still be taken";
}

TEST_P(EachSuite, EverySingleBitOfAResponse) {
  Pair net(Options());
  std::vector<uint8_t> response;
  net.network.filter = [&](const Datagram& d) {
    if (d.octets[0] == protocol::kTypeResponse) response = d.octets;
    return d.octets[0] != protocol::kTypeResponse;
  };
  net.Run(100ms);
  ASSERT_EQ(response.size(), protocol::kResponseSize);
  const size_t mac2 = response.size() - protocol::kMacSize;
  const Endpoint b = *Endpoint::Parse("192.0.2.2:6789");
  for (size_t bit = 0; bit < mac2 * 8; ++bit) {
    std::vector<uint8_t> bad = response;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    const uint64_t drops = net.a->AllDrops();
    net.network.Inject({b, kA, bad, 0});
    net.network.Deliver();
    net.a->Turn();
    EXPECT_FALSE(net.a->connected()) << bit;
    EXPECT_EQ(net.a->AllDrops(), drops + 1) << bit;
  }
  net.network.Inject({b, kA, response, 0});
  net.network.Deliver();
  net.a->Turn();
  EXPECT_TRUE(net.a->connected()) << "the true one must still be taken";
}

TEST_P(EachSuite, EverySingleBitAndEveryLengthOfADataFrame) {
  Pair net(Options());
  net.Run(1s);
  net.network.filter = [](const Datagram&) { return false; };
  net.AToB(1);
  const Datagram good = net.network.record.back();
  net.network.filter = nullptr;
  for (size_t bit = 0; bit < good.octets.size() * 8; ++bit) {
    std::vector<uint8_t> bad = good.octets;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    ExpectRefused(net, bad, kA, "bit " + std::to_string(bit));
  }
  for (size_t size = 0; size < good.octets.size(); ++size) {
    ExpectRefused(net, {good.octets.begin(), good.octets.begin() + static_cast<long>(size)}, kA,
                  "length " + std::to_string(size));
  }
  net.network.Inject(good);
  net.Run(10ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST_P(EachSuite, ControlFramesOfEveryLength) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(1ms);
  const Datagram good = Capture(net, protocol::kTypeInitiation, 1);
  net.network.filter = nullptr;
  for (size_t size = 0; size < good.octets.size() + 40; ++size) {
    if (size == good.octets.size()) continue;
    std::vector<uint8_t> bad = good.octets;
    bad.resize(size);
    ExpectRefused(net, bad, kA, "length " + std::to_string(size));
  }
}

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
  for (const bool restarted : {false, true}) {
    if (restarted) net.a->RestartDaemon();
    net.network.filter = [](const Datagram&) { return false; };
    net.Run(10s);   // settle the restarted side's own attempts
    const auto record = net.network.record;
    for (const Datagram& d : record) {
      if (d.from.address.octets[3] != 1) continue;
      const State before = StateOf(*net.a);
      const size_t sent = net.network.record.size();
      net.network.Inject({kStranger, kA, d.octets, 0});
      net.network.Deliver();
      net.a->engine().HandleEvents();
      EXPECT_EQ(StateOf(*net.a), before);
      EXPECT_EQ(net.network.record.size(), sent) << "answered its own frame";
    }
    net.network.filter = nullptr;
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
    silent.config.peers[0].endpoint.reset();
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

TEST(Hostile, FullDiskDoesNotStopHandshakes) {
  Pair net;
  net.a->disk_works = false;
  net.Run(1s);
  EXPECT_TRUE(net.a->connected());
}

}  // namespace
}  // namespace cipe::sim
