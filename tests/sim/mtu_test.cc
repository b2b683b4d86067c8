// The smaller MTU of both ends: when it takes effect, whom it binds, what it cannot do.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "packet/checksum.h"
#include "packet/ip_view.h"
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

std::vector<uint8_t> WithDf(std::vector<uint8_t> packet) {
  packet[6] |= 0x40;
  packet::SetIpv4HeaderChecksum(packet.data(), 20);
  return packet;
}

// What an ICMP answer says would fit.
uint32_t ToldMtu(const std::vector<uint8_t>& icmp) {
  return icmp[0] >> 4 == 4 ? LoadBe16(&icmp[26]) : LoadBe32(&icmp[44]);
}

// A TCP SYN over IPv4 that announces `mss`.
std::vector<uint8_t> MakeSyn(absl::string_view source, absl::string_view destination,
                             uint16_t mss) {
  std::vector<uint8_t> p = MakeInner(source, destination, 1, 16);
  p[9] = 6;
  std::fill(p.begin() + 24, p.end(), uint8_t{0});
  p[32] = 6 << 4;
  p[33] = 2;
  p[40] = 2;
  p[41] = 4;
  StoreBe16(&p[42], mss);
  return WithDf(std::move(p));
}

int MssOf(const std::vector<uint8_t>& syn) { return LoadBe16(&syn[42]); }

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
  // DF is clear: what does not fit arrives in two pieces.
  ASSERT_EQ(net.b->delivered.size(), 3u);
  EXPECT_EQ(net.b->delivered[0].size(), 1300u);
  EXPECT_EQ(net.b->delivered[1].size() + net.b->delivered[2].size() - 20, 1301u);
  net.a->Inject(WithDf(OfSize(1301)));
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 3u);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_too_big_told), 1u);
  ASSERT_EQ(net.a->answered.size(), 1u);
  EXPECT_EQ(ToldMtu(net.a->answered[0]), 1300u);
}

TEST(Mtu, WaitingPacketsKeepToItToo) {
  Pair net({.b_knows_a = false, .mtu_a = 1420, .mtu_b = 1300});
  net.a->Inject(WithDf(OfSize(1400)));
  net.a->Inject(OfSize(1200));
  net.Run(1s);
  ASSERT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.b->delivered[0].size(), 1200u);
  EXPECT_EQ(net.a->answered.size(), 1u);
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
  net.a->Inject(WithDf(OfSize(69)));
  net.a->Inject(OfSize(68));
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_too_big_told), 1u);
}

// ---- the path between them ----

// From now on nothing above `mtu` octets of IPv4 gets through, and nobody says so.
void Narrow(Pair& net, size_t mtu) {
  net.network.filter = [mtu](const Datagram& d) { return d.octets.size() + 28 <= mtu; };
}

void SendFor(Pair& net, Duration span, size_t size) {
  for (Duration t{0}; t < span; t += 100ms) {
    net.a->Inject(WithDf(OfSize(size)));
    net.Run(100ms);
  }
}

uint32_t PathMtu(Host& host) { return *host.engine().TakeSnapshot().peers[0].path_mtu; }
std::string Source(Host& host) { return *host.engine().TakeSnapshot().peers[0].path_mtu_source; }

TEST(PathMtu, NarrowFromTheStartWithoutIcmp) {
  Pair net;
  Narrow(net, 1400);
  net.Run(1s);
  EXPECT_EQ(PathMtu(*net.a), 1420u) << "nothing was sent, nothing is probed";
  SendFor(net, 4s, 1420);
  EXPECT_LE(PathMtu(*net.a), 1340u);
  EXPECT_GE(PathMtu(*net.a), 1332u);
  EXPECT_EQ(Source(*net.a), "probe");
  ASSERT_FALSE(net.a->answered.empty());
  EXPECT_EQ(ToldMtu(net.a->answered.back()), PathMtu(*net.a));
  EXPECT_EQ(net.a->tunnel().link_mtu(), 1420u) << "the netdev stays as it is";
  net.b->delivered.clear();
  net.a->Inject(OfSize(1420));
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 2u) << "IPv4 without DF goes in pieces that fit";
}

TEST(PathMtu, ShrinksUnderTrafficAndComesBack) {
  Pair net;
  net.Run(1s);
  SendFor(net, 5s, 1420);
  EXPECT_EQ(PathMtu(*net.a), 1420u);
  EXPECT_EQ(Source(*net.a), "interface");
  EXPECT_TRUE(net.a->answered.empty());
  Narrow(net, 1300);
  SendFor(net, 6s, 1420);
  EXPECT_LE(PathMtu(*net.a), 1240u);
  EXPECT_GE(PathMtu(*net.a), 1232u);
  net.network.filter = nullptr;
  SendFor(net, 130s, 1000);
  EXPECT_EQ(PathMtu(*net.a), 1420u);
  EXPECT_EQ(Source(*net.a), "interface");
}

TEST(PathMtu, Ipv6GetsItsLeastInFragmentsOfTheCarrier) {
  Pair net;
  net.Run(1s);
  Narrow(net, 1280);
  SendFor(net, 6s, 1420);
  ASSERT_LE(PathMtu(*net.a), 1220u);
  net.network.filter = nullptr;
  const size_t recorded = net.network.record.size();
  net.a->Inject(MakeInner("fd09::1", "fd09::2", 1, 1280 - 48));
  net.Run(50ms);
  ASSERT_GT(net.network.record.size(), recorded);
  EXPECT_TRUE(net.network.record[recorded].fields.may_fragment);
  EXPECT_EQ(net.b->delivered.back().size(), 1280u);
  net.a->answered.clear();
  net.a->Inject(MakeInner("fd09::1", "fd09::2", 1, 1281 - 48));
  net.Run(50ms);
  ASSERT_EQ(net.a->answered.size(), 1u);
  EXPECT_EQ(ToldMtu(net.a->answered[0]), 1280u);
}

// A path of 1280 octets that nobody told the kernel of fragments no IPv6 around: TCP must fit it.
TEST(PathMtu, TcpThatNeedNotGoBelowIpv6sLeastIsCut) {
  Pair net;
  net.Run(1s);
  Narrow(net, 1280);
  SendFor(net, 6s, 1420);
  const uint32_t limit = PathMtu(*net.a);
  ASSERT_LE(limit, 1220u);
  net.b->delivered.clear();
  for (const bool right : {true, false}) {
    std::vector<uint8_t> p = MakeInner("fd09::1", "fd09::2", 1, 1280 - 48);
    p[6] = 6;
    p[52] = 5 << 4;
    p[53] = 0x18;
    StoreBe16(&p[56], 0);
    packet::IpView view;
    ASSERT_TRUE(packet::ParseIp(p.data(), p.size(), &view));
    const auto sum = packet::PseudoHeaderSum(view, 6, view.l4_size());
    StoreLe16(&p[56], packet::ChecksumOf(packet::SumOctets(view.l4(), view.l4_size(), sum)));
    if (!right) p[56] ^= 1;
    net.a->Inject(p);
    net.Run(50ms);
  }
  // The second one went out whole, for it cannot be cut, and is lost here.
  ASSERT_EQ(net.b->delivered.size(), 2u);
  EXPECT_LE(net.b->delivered[0].size(), limit);
  EXPECT_EQ(net.b->delivered[0].size() + net.b->delivered[1].size() - 60, 1280u);
}

TEST(PathMtu, WhatTheKernelKnowsCounts) {
  Pair net;
  net.Run(1s);
  ASSERT_FALSE(net.a->paths_asked.empty());
  const ipc::PathMtuWanted asked = net.a->paths_asked.back();
  EXPECT_EQ(asked.endpoint.ToString(), "192.0.2.2:6789");
  net.a->engine().PathMtuKnown({asked.tunnel, asked.peer, asked.endpoint, 1500, 1400, 0});
  EXPECT_EQ(PathMtu(*net.a), 1340u);
  EXPECT_EQ(Source(*net.a), "route");
  net.a->engine().PathMtuKnown({asked.tunnel, asked.peer, asked.endpoint, 1450, 0, 0});
  EXPECT_EQ(PathMtu(*net.a), 1390u);
  EXPECT_EQ(Source(*net.a), "interface");
  // An answer about somewhere else is none.
  net.a->engine().PathMtuKnown({asked.tunnel, asked.peer, *Endpoint::Parse("192.0.2.9:1"), 800});
  EXPECT_EQ(PathMtu(*net.a), 1390u);
}

dataplane::Event HintOf(const Endpoint& from, uint32_t mtu) {
  dataplane::Event event;
  event.type = dataplane::EventType::kPathHint;
  event.tunnel = 1;
  event.path.remote = from;
  event.session = mtu;
  return event;
}

TEST(PathMtu, IcmpIsAHintAndNoMore) {
  Pair net;
  net.Run(1s);
  SendFor(net, 2s, 1420);
  const Endpoint to = net.a->peer().path.path.Get().remote;
  // Forged ones, of all sizes.
  for (const uint32_t mtu : {0u, 1u, 68u, 576u, 1300u, 65535u, UINT32_MAX}) {
    ASSERT_TRUE(net.a->engine().events().Push(HintOf(to, mtu)));
    SendFor(net, 3s, 1420);
    EXPECT_EQ(PathMtu(*net.a), 1420u) << mtu;
  }
  EXPECT_TRUE(net.a->answered.empty());
  // A true one.
  Narrow(net, 1371);
  ASSERT_TRUE(net.a->engine().events().Push(HintOf(to, 1371)));
  SendFor(net, 1s, 1420);
  EXPECT_EQ(PathMtu(*net.a), 1311u);
  EXPECT_EQ(Source(*net.a), "icmp");
}

TEST(PathMtu, RekeyingKeepsWhatIsKnownAndAnEngineThatTakesOverFindsItAgain) {
  Pair net;
  Narrow(net, 1400);
  net.Run(1s);
  SendFor(net, 4s, 1420);
  const uint32_t known = PathMtu(*net.a);
  ASSERT_LE(known, 1340u);
  const auto* session = net.a->peer().current;
  for (int i = 0; i < 130; ++i) {
    net.AToB(1);
    net.Run(1s);
    ASSERT_LE(PathMtu(*net.a), 1340u) << i;
  }
  EXPECT_NE(net.a->peer().current, session) << "no rekey: nothing is tested here";
  net.a->CrashEngine();
  SendFor(net, 4s, 1420);
  EXPECT_LE(PathMtu(*net.a), 1340u);
}

TEST(PathMtu, SynsAreClampedOnBothRoads) {
  Pair net;
  Narrow(net, 1300);
  net.Run(1s);
  SendFor(net, 5s, 1420);
  const uint32_t mtu = PathMtu(*net.a);
  ASSERT_LE(mtu, 1240u);
  net.b->delivered.clear();
  net.a->delivered.clear();
  net.a->Inject(MakeSyn("10.9.0.1", "10.9.0.2", 1380));
  net.b->Inject(MakeSyn("10.9.0.2", "10.9.0.1", 1380));
  net.Run(100ms);
  ASSERT_EQ(net.b->delivered.size(), 1u);
  ASSERT_EQ(net.a->delivered.size(), 1u);
  EXPECT_EQ(MssOf(net.b->delivered[0]), mtu - 40);
  EXPECT_EQ(MssOf(net.a->delivered[0]), mtu - 40);
  net.a->tunnel().path.mss_clamp = false;
  net.a->Inject(MakeSyn("10.9.0.1", "10.9.0.2", 1100));
  net.b->Inject(MakeSyn("10.9.0.2", "10.9.0.1", 1370));
  net.Run(100ms);
  EXPECT_EQ(MssOf(net.b->delivered.back()), 1100);
  EXPECT_EQ(MssOf(net.a->delivered.back()), 1370);
}

TEST(Dscp, NoneCopyAndValueBesideEcn) {
  Pair net;
  net.Run(1s);
  const auto outer = [&](uint8_t inner) {
    const size_t at = net.network.record.size();
    net.a->Inject(MakeInner("10.9.0.1", "10.9.0.2", 1, 32, inner));
    return net.network.record.at(at).fields.tos;
  };
  engine::Tunnel& tunnel = net.a->tunnel();
  EXPECT_EQ(outer(0xb8 | 2), 2);
  tunnel.config.dscp = config::DscpChoice::kCopy;
  SetPathOptions(tunnel);
  EXPECT_EQ(outer(0xb8 | 2), 0xb8 | 2);
  tunnel.config.dscp = config::DscpChoice::kValue;
  tunnel.config.dscp_value = 10;
  SetPathOptions(tunnel);
  EXPECT_EQ(outer(0xb8 | 1), 10 << 2 | 1);
}

}  // namespace
}  // namespace cipe::sim
