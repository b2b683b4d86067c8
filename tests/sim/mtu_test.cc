// The smaller MTU of both ends: when it takes effect, whom it binds, what it cannot do.
#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/constants.h"
#include "protocol/control_tlv.h"
#include "protocol/frame.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;
using session::PeerPath;

// An inner packet of `size` octets from a to b.
std::vector<uint8_t> OfSize(size_t size) { return MakeInner("10.9.0.1", "10.9.0.2", 1, size - 28); }

// What `from` would send to say that its MTU has changed.
Datagram Announcement(Host& from, const Datagram& like, uint16_t mtu) {
  const protocol::ControlMessage message = protocol::ChangedParameters{mtu};
  std::vector<uint8_t> plaintext(protocol::ControlSize(message));
  EXPECT_EQ(protocol::BuildControl(message, absl::MakeSpan(plaintext)), plaintext.size());
  session::Session& session = *from.peer().current;
  session::SendLane& lane = session.send_lane(0);
  const auto counter = lane.TakeCounter(static_cast<uint32_t>(plaintext.size()));
  Datagram d = like;
  d.octets.assign(plaintext.size() + protocol::kDataOverhead, 0);
  protocol::WriteDataHeader(session.setup().remote_index, *counter, d.octets.data());
  const SealJob job{*counter, d.octets.data(), plaintext.data(),
                    d.octets.data() + protocol::kDataHeaderSize,
                    static_cast<uint32_t>(plaintext.size())};
  lane.key->SealBatch(absl::MakeSpan(&job, 1));
  return d;
}

Datagram LastDataFrom(const Pair& net, uint8_t host) {
  for (auto d = net.network.record.rbegin(); d != net.network.record.rend(); ++d) {
    if (d->octets[0] == protocol::kTypeData && d->from.address.octets[3] == host) return *d;
  }
  ADD_FAILURE() << "no data frame";
  return {};
}

TEST(Mtu, SmallerOfBothEndsHolds) {
  Pair net({.mtu_a = 1420, .mtu_b = 1300});
  net.Run(1s);
  EXPECT_EQ(net.a->smallest_mtu, 1300u);
  EXPECT_EQ(net.a->tunnel().link_mtu(), 1300u);
  EXPECT_EQ(net.b->smallest_mtu, 1420u);
  EXPECT_EQ(net.b->tunnel().link_mtu(), 1300u);
  EXPECT_EQ(net.a->engine().TakeSnapshot().tunnels[0].mtu, 1300u);
  EXPECT_EQ(net.a->engine().TakeSnapshot().peers[0].path_mtu, 1300u);
  EXPECT_EQ(net.b->engine().TakeSnapshot().peers[0].path_mtu, 1300u);
  net.a->Inject(OfSize(1300));
  net.a->Inject(OfSize(1301));
  net.Run(100ms);
  ASSERT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.b->delivered[0].size(), 1300u);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_too_big), 1u);
}

TEST(Mtu, WaitingPacketsKeepToItToo) {
  Pair net({.b_knows_a = false, .mtu_a = 1420, .mtu_b = 1300});
  net.a->Inject(OfSize(1400));
  net.a->Inject(OfSize(1200));
  net.Run(1s);
  ASSERT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.b->delivered[0].size(), 1200u);
}

TEST(Mtu, OfAnInitiationCountsOnlyAfterItsFirstDataFrame) {
  Pair net({.b_knows_a = false, .mtu_a = 1300, .mtu_b = 1420});
  net.network.filter = [](const Datagram& d) { return d.octets[0] != protocol::kTypeData; };
  net.Run(1s);
  ASSERT_NE(net.b->peer().next, nullptr);
  EXPECT_EQ(net.b->peer().path.mtu.load(), PeerPath::kAnyMtu);
  EXPECT_EQ(net.b->tunnel().link_mtu(), 1420u);
  net.network.filter = nullptr;
  net.AToB(1);
  net.Run(1s);
  EXPECT_EQ(net.b->peer().path.mtu.load(), 1300u);
  EXPECT_EQ(net.b->tunnel().link_mtu(), 1300u);
}

TEST(Mtu, ChangedParametersTakeEffectAndOutliveTheEngine) {
  Pair net;
  net.Run(1s);
  net.network.Inject(Announcement(*net.a, LastDataFrom(net, 1), 1350));
  net.Run(100ms);
  EXPECT_EQ(net.b->smallest_mtu, 1350u);
  EXPECT_EQ(net.b->tunnel().link_mtu(), 1350u);
  net.b->CrashEngine();
  EXPECT_EQ(net.b->peer().path.mtu.load(), 1350u);
  EXPECT_EQ(net.b->tunnel().link_mtu(), 1350u);
  net.network.Inject(Announcement(*net.a, LastDataFrom(net, 1), 1500));
  net.Run(100ms);
  EXPECT_EQ(net.b->tunnel().link_mtu(), 1420u) << "it must come back up, to our own and no further";
}

TEST(Mtu, NoPeerBringsTheInterfaceBelowWhatIpv6Needs) {
  Pair net;
  net.Run(1s);
  net.network.Inject(Announcement(*net.b, LastDataFrom(net, 2), 68));
  net.Run(100ms);
  EXPECT_EQ(net.a->peer().path.mtu.load(), 68u);
  EXPECT_EQ(net.a->tunnel().link_mtu(), 1280u);
  net.a->Inject(OfSize(69));
  net.a->Inject(OfSize(68));
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_too_big), 1u);
}

}  // namespace
}  // namespace cipe::sim
