// Time stamps of initiations stay near the clock, and none comes twice, whatever starts and ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/constants.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;
using protocol::Tai64n;

Duration AheadOf(const ManualClock& clock, const Tai64n& stamp) {
  return std::chrono::nanoseconds(stamp.UnixNanos() - clock.Wall().unix_ns);
}

Duration Ahead(const ManualClock& clock, const std::array<uint8_t, 12>& stamp) {
  return AheadOf(clock, Tai64n::FromSpan(stamp));
}

// b answers nobody: a sends initiation after initiation.
class Stamps : public testing::TestWithParam<bool> {
 protected:
  static PairOptions Options() {
    PairOptions o;
    o.shared_key = GetParam();
    o.b_knows_a = false;
    return o;
  }
};

INSTANTIATE_TEST_SUITE_P(Keys, Stamps, testing::Bool());

TEST_P(Stamps, ADozenUpsLeaveTheFloorAtTheClock) {
  Pair net(Options());
  for (int i = 0; i < 12; ++i) {
    net.Run(500ms);
    ASSERT_TRUE(net.a->connected()) << i;
    EXPECT_LE(AheadOf(net.clock, net.a->SentOnDisk()), engine::Sender::kAhead) << i;
    i % 2 == 0 ? net.a->RestartDaemon() : net.a->Reconfigure();
    EXPECT_LE(AheadOf(net.clock, net.a->SentOnDisk()), 0s) << "what was sent, after a clean end";
  }
  EXPECT_LE(Ahead(net.clock, net.b->Floor().received), 0s);
}

TEST_P(Stamps, LosingTheStateDirectoryLocksNobodyOut) {
  Pair net(Options());
  for (int i = 0; i < 12; ++i) {
    net.Run(500ms);
    net.a->RestartDaemon();
  }
  net.Run(500ms);
  net.a->disk.floors = {};
  net.a->LosePower();
  net.Run(500ms);
  EXPECT_TRUE(net.a->connected());
  EXPECT_EQ(net.b->Drops(cipe_drop_hs_replayed) + net.b->Drops(cipe_drop_hs_clock_behind), 0u);
}

TEST_P(Stamps, PowerFailuresDoNotAddUp) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  Tai64n before;
  for (int i = 0; i < 100; ++i) {
    net.Run(100ms);
    const Tai64n floor = Tai64n::FromSpan(net.a->Floor().sent);
    ASSERT_GT(floor, before) << "a time stamp could come twice";
    before = net.a->SentOnDisk();
    ASSERT_GE(before, floor);
    net.a->LosePower();
  }
  // Ten seconds for the clock, and a little for each of a hundred crashes in ten seconds.
  EXPECT_LE(AheadOf(net.clock, net.a->SentOnDisk()),
            engine::Sender::kAhead + 100 * (engine::Sender::kAheadOfStamp + 20ms));
  net.Run(30s);
  net.network.filter = nullptr;
  net.Run(60s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_LE(AheadOf(net.clock, net.a->SentOnDisk()), engine::Sender::kAhead);
}

TEST_P(Stamps, TakeOversGoOnFromWhatWasSent) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  net.Run(100ms);
  for (int i = 0; i < 30; ++i) {
    const Tai64n sent = Tai64n::FromSpan(net.a->Floor().sent);
    net.a->CrashEngine();
    net.Run(50ms);
    ASSERT_GT(Tai64n::FromSpan(net.a->Floor().sent), sent) << i;
    ASSERT_LE(Ahead(net.clock, net.a->Floor().sent), 0s) << i;
  }
  EXPECT_LE(AheadOf(net.clock, net.a->SentOnDisk()), engine::Sender::kAhead);
}

TEST_P(Stamps, NoneIsSentTwiceWhateverTheClockDoes) {
  Pair net(Options());
  net.network.filter = [](const Datagram&) { return false; };
  Tai64n last;
  for (int i = 0; i < 60; ++i) {
    net.Run(1s);
    const Tai64n sent = Tai64n::FromSpan(net.a->Floor().sent);
    EXPECT_LE(sent, net.a->SentOnDisk()) << "sent before it was on disk";
    if (i % 4 == 0) net.clock.JumpWall(-std::chrono::hours(1));
    if (i % 4 == 1) net.a->CrashEngine();
    if (i % 4 == 2) net.a->LosePower();
    if (i % 4 == 3) {
      ASSERT_GT(sent, last) << i;
      last = net.a->SentOnDisk();
      net.a->RestartDaemon();
    }
  }
}

TEST_P(Stamps, ARenamedTunnelStaysConnected) {
  Pair net(Options());
  net.clock.JumpWall(1h);  // so that only the floor can carry it over
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  net.clock.JumpWall(-1h);
  config::Tunnel config = net.a->CopyConfig();
  config.name = "renamed";
  config.peers[0].name = "renamed-too";
  net.a->Reconfigure(std::move(config), net.OptionsOf(true).peer_endpoints);
  net.Run(1s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_EQ(net.b->Drops(cipe_drop_hs_replayed) + net.b->Drops(cipe_drop_hs_clock_behind), 0u);
}

TEST_P(Stamps, APeerThatWasRemovedForAWhileCannotBeReplayed) {
  Pair net(Options());
  net.Run(1s);
  ASSERT_TRUE(net.b->connected());
  const ipc::Floor floor = net.b->Floor();
  ASSERT_NE(floor.received, ipc::Floor().received);
  Datagram recorded;
  for (const Datagram& d : net.network.record) {
    if (d.octets[0] == protocol::kTypeInitiation) recorded = d;
  }
  // Other peers come and go meanwhile, over a restart of the daemon too.
  config::Tunnel original = net.b->CopyConfig();
  config::Tunnel other = net.b->CopyConfig();
  other.peers[0].public_key[0] ^= 1;
  if (other.peers[0].shared_key) other.peers[0].shared_key->UnsafeMutableBytes()[0] ^= 1;
  net.b->Reconfigure(std::move(other), {Endpoint{}});
  EXPECT_EQ(net.b->Floor().received, ipc::Floor().received);
  net.b->RestartDaemon();
  net.b->Reconfigure(std::move(original), {Endpoint{}});
  EXPECT_EQ(net.b->Floor().received, floor.received);
  const size_t frames = net.network.record.size();
  net.network.Inject(recorded);
  net.network.Deliver();
  net.b->Turn();
  EXPECT_EQ(net.b->Drops(cipe_drop_hs_replayed), 1u);
  EXPECT_EQ(net.network.record.size(), frames) << "a replayed initiation was answered";
}

TEST_P(Stamps, ASlowDiskDelaysAndIsNotAskedForEver) {
  Pair net(Options());
  net.Run(30s);
  net.a->disk_latency = 25s;  // longer than a reservation lasts
  const int writes = net.a->writes;
  net.a->RestartDaemon();
  net.Run(24s);
  EXPECT_FALSE(net.a->connected());
  EXPECT_EQ(net.a->writes, writes + 1);
  net.Run(3s);
  EXPECT_TRUE(net.a->connected());
}

TEST(SharedStamps, ManyPeersShareOneReservation) {
  Pair net({.b_knows_a = false});
  config::Tunnel config = net.a->CopyConfig();
  std::vector<Endpoint> endpoints;
  config::Peer first = std::move(config.peers[0]);
  config.peers.clear();
  for (int i = 0; i < 200; ++i) {
    config::Peer& p = config.peers.emplace_back();
    p.name = std::to_string(i);
    p.public_key = first.public_key;
    p.public_key[1] ^= static_cast<uint8_t>(i);
    p.endpoints = first.endpoints;
    endpoints.push_back(net.OptionsOf(true).peer_endpoints[0]);
  }
  net.network.filter = [](const Datagram&) { return false; };
  const size_t frames = net.network.record.size();
  const int writes = net.a->writes;
  net.a->Reconfigure(std::move(config), endpoints);
  net.Run(1s);
  EXPECT_EQ(net.network.record.size(), frames + 200);
  EXPECT_EQ(net.a->writes, writes + 1);
  EXPECT_LE(Ahead(net.clock, net.a->Floor().sent), 0s) << "peers must not queue for stamps";
}

}  // namespace
}  // namespace cipe::sim
