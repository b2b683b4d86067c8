// Ping and PingTimeout: a peer that is gone is noticed, shown, looked for, and found again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/constants.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;
using control::PeerStatus;

Endpoint Home() { return *Endpoint::Parse("192.0.2.2:6789"); }
Endpoint Other() { return *Endpoint::Parse("198.51.100.2:6789"); }
constexpr uint32_t kTunnel = 1, kPeer = 100;

PairOptions Pinging() { return {.b_knows_a = false, .ping_s = 10, .ping_timeout_s = 3}; }

control::PeerSnapshot Shown(const Pair& net) { return net.a->engine().TakeSnapshot().peers[0]; }

TEST(Liveness, RoundTripsAreMeasuredAndShown) {
  Pair net(Pinging());
  net.network.weather.delay = 20ms;
  EXPECT_FALSE(Shown(net).rtt_ms.has_value());
  net.Run(15s);
  ASSERT_TRUE(Shown(net).rtt_ms.has_value());
  EXPECT_NEAR(*Shown(net).rtt_ms, 40, 2);
  EXPECT_EQ(Shown(net).status, PeerStatus::kConnected);
  EXPECT_EQ(net.a->peer().state, engine::PeerState::kConnected);
}

TEST(Liveness, ADeadPeerIsShownLookedForAndComesBack) {
  Pair net(Pinging());
  net.Run(15s);
  net.network.filter = [](const Datagram& d) { return d.from.address.octets[3] == 1; };
  net.Run(10s + 9s + 1s);
  EXPECT_EQ(Shown(net).status, PeerStatus::kDead);
  EXPECT_EQ(net.a->peer().state, engine::PeerState::kDead);
  EXPECT_THAT(*Shown(net).why, testing::HasSubstr("no answer to 3 pings"));
  EXPECT_TRUE(Shown(net).advice.has_value());
  EXPECT_TRUE(net.a->peer().attempt.has_value()) << "a new handshake is tried at once";
  net.Run(10s);
  EXPECT_FALSE(net.a->failed.empty());
  EXPECT_THAT(net.a->failed, testing::Each(Home()));
  net.network.filter = nullptr;
  net.Run(6s);
  EXPECT_EQ(Shown(net).status, PeerStatus::kConnected);
  EXPECT_FALSE(Shown(net).why.has_value());
  EXPECT_EQ(net.a->peer().state, engine::PeerState::kConnected);
}

TEST(Liveness, ASilentEndpointIsLeftAfterOneMoreTry) {
  Pair net(Pinging());
  net.Run(2s);
  net.a->on_failed = [&](const Endpoint&) {
    net.a->engine().EndpointResolved(kTunnel, kPeer, Other());
  };
  net.b->MoveTo(Other());
  const Instant lost = net.clock.Now();
  while (net.a->peer().path.path.Get().remote != Other() && net.clock.Now() < lost + 60s) {
    net.Run(100ms);
  }
  EXPECT_EQ(Shown(net).status, PeerStatus::kConnected);
  // Ping, three times PingTimeout, one silent initiation.
  EXPECT_LE(net.clock.Now() - lost, 10s + 9s + 5s + 2s);
}

// The peer was started anew: it has no session any more, but answers at the same address.
TEST(Liveness, APeerThatStartedAnewIsFoundAtOnceWhereItWas) {
  Pair net(Pinging());
  net.Run(2s);
  net.b->LosePower();
  net.Run(10s + 9s + 1s);
  EXPECT_EQ(Shown(net).status, PeerStatus::kConnected);
  EXPECT_TRUE(net.a->failed.empty());
  net.AToB(3);
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

TEST(Liveness, LossDoesNotKill) {
  Pair net(Pinging());
  net.network.weather.loss = 0.2;
  net.Run(5s);
  int dead = 0;
  for (int i = 0; i < 1800; ++i) {
    net.Run(1s);
    dead += net.a->peer().state == engine::PeerState::kDead;
  }
  // Three requests in a row go wrong with (1 - 0.8^2)^3 = 5 %: it happens, and is over soon.
  EXPECT_LT(dead, 180);
}

TEST(Liveness, ADeadPeerCostsLittleForHowLongItMayTake) {
  Pair net(Pinging());
  net.Run(15s);
  net.network.filter = [](const Datagram& d) { return d.from.address.octets[3] == 1; };
  net.Run(30s);
  const size_t before = net.network.record.size();
  net.Run(3600s);
  const size_t sent = net.network.record.size() - before;
  // An initiation every 5 s, its answer that is lost, and a ping every 10 s while keys last.
  EXPECT_LE(sent, 2 * 3600u / 5 + 20);
  EXPECT_EQ(Shown(net).status, PeerStatus::kDead);
  net.network.filter = nullptr;
  net.Run(6s);
  EXPECT_EQ(Shown(net).status, PeerStatus::kConnected) << "it is never given up";
}

TEST(Liveness, AnIdleTunnelStaysConnected) {
  Pair net(Pinging());
  net.Run(2s);
  uint64_t generation = net.a->peer().current->setup().generation;
  int handshakes = 0;
  for (int i = 0; i < 1200; ++i) {
    net.Run(1s);
    ASSERT_TRUE(net.a->connected()) << i << " s";
    if (std::exchange(generation, net.a->peer().current->setup().generation) != generation) {
      ++handshakes;
    }
  }
  EXPECT_GE(handshakes, 6);
  EXPECT_LE(handshakes, 8);
}

TEST(Liveness, WithoutPingNothingOfAllThat) {
  Pair net;
  net.Run(2s);
  const size_t before = net.network.record.size();
  net.Run(100s);
  EXPECT_EQ(net.network.record.size(), before) << "an idle tunnel is silent";
  EXPECT_FALSE(Shown(net).rtt_ms.has_value());
}

TEST(Liveness, ATakenOverPeerIsNeitherDeadNorNew) {
  Pair net(Pinging());
  net.Run(15s);
  net.a->CrashEngine();
  EXPECT_EQ(net.a->peer().state, engine::PeerState::kConnected);
  net.Run(30s);
  EXPECT_EQ(Shown(net).status, PeerStatus::kConnected);
  EXPECT_TRUE(Shown(net).rtt_ms.has_value());
}

}  // namespace
}  // namespace cipe::sim
