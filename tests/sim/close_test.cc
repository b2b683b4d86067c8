// Ends that say so: "close" of docs/protocol.md section 7, and what outlives an engine.
#include <gtest/gtest.h>

#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

PairOptions OnlyBKnowsA() {
  PairOptions o;
  o.a_knows_b = false;
  return o;
}

// The network does not deliver it.
Datagram KeptBackClose(Pair& net) {
  net.network.filter = [](const Datagram&) { return false; };
  net.a->engine().CloseSessions(net.a->tunnel().id());
  net.network.filter = nullptr;
  return net.network.record.back();
}

TEST(Close, PeerStartsAnewWithItsNextPacket) {
  for (const bool told : {true, false}) {
    Pair net(OnlyBKnowsA());
    net.Run(1s);
    ASSERT_TRUE(net.b->connected());
    if (told) net.a->engine().CloseSessions(net.a->tunnel().id());
    net.a->RestartDaemon();
    net.Run(50ms);
    EXPECT_EQ(net.b->connected(), !told);
    EXPECT_EQ(net.b->Drops(cipe_drop_rx_bad_inner), 0u);
    net.BToA(1);
    net.Run(100ms);
    EXPECT_EQ(net.a->delivered.size(), told ? 1u : 0u) << "without it nobody would have noticed";
  }
}

TEST(Close, NothingIsSentAfterIt) {
  Pair net;
  net.Run(1s);
  net.a->engine().CloseSessions(net.a->tunnel().id());
  const size_t frames = net.network.record.size();
  net.AToB(1);
  EXPECT_EQ(net.network.record.size(), frames);
}

TEST(Close, EndsNoSessionThatIsNewer) {
  Pair net;
  net.Run(1s);
  const Datagram close = KeptBackClose(net);
  net.Run(50ms);
  ASSERT_TRUE(net.b->connected());
  net.a->RestartDaemon();
  net.Run(1s);
  ASSERT_TRUE(net.b->connected());
  ASSERT_NE(net.b->peer().previous, nullptr);
  const uint32_t current = net.b->peer().current->base();
  net.network.Inject(close);
  net.Run(100ms);
  ASSERT_TRUE(net.b->connected());
  EXPECT_EQ(net.b->peer().current->base(), current);
  EXPECT_EQ(net.b->peer().previous, nullptr);
  net.AToB(1);
  net.BToA(2);
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.a->delivered.size(), 1u);
}

TEST(Close, OneFromAnotherKeyIsNoClose) {
  Pair net;
  net.Run(1s);
  Datagram close = KeptBackClose(net);
  close.octets.back() ^= 1;
  net.network.Inject(close);
  net.Run(50ms);
  EXPECT_TRUE(net.b->connected());
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_bad_tag), 1u);
}

TEST(TakeOver, TrafficCountersGoOn) {
  Pair net;
  net.Run(1s);
  for (uint32_t i = 0; i < 10; ++i) net.AToB(i);
  for (uint32_t i = 0; i < 4; ++i) net.BToA(i);
  net.Run(2s);
  const auto& before = net.a->peer().path.traffic;
  const uint64_t sent = before.tx_bytes, received = before.rx_bytes;
  const uint64_t received_packets = before.rx_packets;
  ASSERT_GE(received_packets, 4u);
  ASSERT_EQ(before.tx_packets, 10u);
  net.a->CrashEngine();
  const auto& after = net.a->peer().path.traffic;
  EXPECT_EQ(after.tx_packets, 10u);
  EXPECT_EQ(after.rx_packets, received_packets);
  EXPECT_EQ(after.tx_bytes, sent);
  EXPECT_EQ(after.rx_bytes, received);
  net.AToB(10);
  EXPECT_EQ(after.tx_packets, 11u);
}

}  // namespace
}  // namespace cipe::sim
