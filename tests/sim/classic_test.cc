// Tunnels of protocol 3, engine against engine: what the HOWTO's users did, and what the wire and
// strangers may do to them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/bytes.h"
#include "cipe/abi/drop_reasons.h"
#include "classic/packet.h"
#include "classic/socks_header.h"
#include "tests/sim/classic_pair.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

bool IsDynamic(const Datagram& d) { return (d.octets[0] & classic::kKeyFlag) != 0; }

class EachCipher
    : public testing::TestWithParam<std::pair<config::ClassicCipher, config::IdeaOrder>> {
 protected:
  static ClassicPairOptions Options() {
    ClassicPairOptions o;
    std::tie(o.cipher, o.order) = GetParam();
    return o;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Ciphers, EachCipher,
    testing::Values(std::make_pair(config::ClassicCipher::kBlowfish, config::IdeaOrder::kLittle),
                    std::make_pair(config::ClassicCipher::kIdea, config::IdeaOrder::kLittle),
                    std::make_pair(config::ClassicCipher::kIdea, config::IdeaOrder::kBig)));

TEST_P(EachCipher, CarriesPacketsBothWays) {
  ClassicPair net(Options());
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  ASSERT_TRUE(net.b->connected());
  const auto there = MakeInner("10.0.1.1", "10.0.1.2", 7, 1000);
  const auto back = MakeInner("10.0.1.2", "10.0.1.1", 8, 33);
  net.a->Inject(there);
  net.b->Inject(back);
  net.Run(1s);
  EXPECT_THAT(net.b->delivered, testing::ElementsAre(there));
  EXPECT_THAT(net.a->delivered, testing::ElementsAre(back));
  EXPECT_EQ(net.a->AllDrops() + net.b->AllDrops(), 0u);
}

// The wire loses, reorders and doubles exchange messages and data alike; of the data that it did
// not lose, everything arrives.
TEST_P(EachCipher, RekeysUnderTrafficLosingOnlyWhatTheWireLoses) {
  ClassicPairOptions o = Options();
  o.change = [](bool, config::ClassicOptions& c) { c.tokey = 2; };
  ClassicPair net(o);
  net.network.weather = {.duplication = 0.05, .reordering = 0.05};
  net.Run(3s);
  std::mt19937 dice(3);
  std::map<Endpoint, size_t> let_through;
  net.network.filter = [&](const Datagram& d) {
    if (dice() % 10 == 0) return false;
    let_through[d.to] += d.octets.size() == kDataSize;
    return true;
  };
  for (uint32_t tag = 0; tag < 4000; ++tag) {
    net.AToB(tag);
    net.BToA(tag);
    net.Run(5ms);
  }
  net.Run(20s);
  for (Host* host : {net.a.get(), net.b.get()}) {
    const Endpoint at = *Endpoint::Parse(host == net.a.get() ? kA : kB);
    EXPECT_EQ(Tags(*host).size(), let_through[at]);
    EXPECT_GT(let_through[at], 3300u);
    EXPECT_GT(host->tunnel().classic->exchange->completed(), 5u);
  }
}

TEST(Classic, RekeyingLosesNothingAtAll) {
  ClassicPairOptions o;
  o.change = [](bool, config::ClassicOptions& c) { c.tokey = 1; };
  ClassicPair net(o);
  net.network.weather = {.reordering = 0.1, .late = 20ms};
  net.Run(1s);
  for (uint32_t tag = 0; tag < 10'000; ++tag) {
    net.AToB(tag);
    net.BToA(tag);
    net.Run(2ms);
  }
  net.Run(5s);
  EXPECT_EQ(Tags(*net.a).size(), 10'000u);
  EXPECT_EQ(Tags(*net.b).size(), 10'000u);
  EXPECT_GT(net.a->tunnel().classic->exchange->completed(), 10u);
  EXPECT_EQ(net.a->AllDrops() + net.b->AllDrops(), 0u);
}

TEST(Classic, NothingButExchangesGoesUnderTheStaticKey) {
  ClassicPairOptions o;
  o.change = [](bool, config::ClassicOptions& c) { c.tokey = 1; };
  ClassicPair net(o);
  for (uint32_t tag = 0; tag < 500; ++tag) {
    net.AToB(tag);
    net.Run(10ms);
  }
  EXPECT_EQ(Tags(*net.b).size(), 500u);
  for (const Datagram& d : net.network.record) {
    if (!IsDynamic(d)) {
      EXPECT_NE(d.octets.size(), kDataSize);
    }
  }
}

TEST(Classic, StaticDataWhereItIsAllowed) {
  ClassicPairOptions o;
  o.change = [](bool, config::ClassicOptions& c) { c.static_data = true; };
  ClassicPair net(o);
  // NK_ACK never arrives: 1999 goes on under the static key.
  net.network.filter = [](const Datagram& d) { return d.octets.size() == kDataSize; };
  net.AToB(1);
  net.Run(1s);
  EXPECT_EQ(Tags(*net.b), std::set<uint32_t>{1});
}

TEST(Classic, WaitingPacketsAreBoundedAndSentInOrder) {
  ClassicPair net;
  for (uint32_t tag = 0; tag < 100; ++tag) net.AToB(tag);
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_staging_full), 36u);
  net.Run(1s);
  ASSERT_EQ(net.b->delivered.size(), 64u);
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(TagOf(net.b->delivered[i]), i);
}

TEST(Classic, WaitingPacketsDoNotWaitForEver) {
  ClassicPair net;
  net.network.filter = [](const Datagram&) { return false; };
  net.AToB(1);
  net.Run(60s);
  net.network.filter = nullptr;
  net.Run(10s);
  ASSERT_TRUE(net.a->connected());
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_staging_expired), 1u);
  EXPECT_TRUE(net.b->delivered.empty());
}

TEST(Classic, AnUnknownPeerAndItsAddressAreLearned) {
  ClassicPairOptions o;
  o.a_knows_b = false;
  o.a_knows_ptpaddr = false;
  ClassicPair net(o);
  net.Run(1s);
  EXPECT_TRUE(net.a->connected());
  EXPECT_EQ(net.a->peer().path.path.Get().remote, *Endpoint::Parse(kB));
  net.BToA(1);
  net.Run(100ms);
  net.AToB(2);
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
  ASSERT_FALSE(net.a->classic_told.empty());
  EXPECT_EQ(net.a->classic_told.back().first, *Endpoint::Parse(kB));
  EXPECT_EQ(net.a->classic_told.back().second, *IpAddress::Parse("10.0.1.2"));
}

TEST(Classic, RoamsOnDynamicPacketsOnly) {
  ClassicPair net;
  net.Run(1s);
  const Endpoint elsewhere = *Endpoint::Parse("198.51.100.9:1111");
  const Endpoint b = *Endpoint::Parse(kB);
  // A recorded static packet from another place moves nothing.
  for (const Datagram& d : std::vector<Datagram>(net.network.record)) {
    if (IsDynamic(d) || !(d.from == b)) continue;
    Datagram copy = d;
    copy.from = elsewhere;
    net.network.Inject(copy);
  }
  net.Run(100ms);
  EXPECT_EQ(net.a->peer().path.path.Get().remote, b);
  net.b->MoveTo(elsewhere);
  net.BToA(1);
  net.Run(100ms);
  EXPECT_EQ(net.a->peer().path.path.Get().remote, elsewhere);
  net.AToB(2);
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

// A dial-up peer: another address, and its daemon knows nothing of before.
TEST(Classic, APeerThatRestartsSomewhereElseIsFound) {
  ClassicPair net;
  net.Run(1s);
  ASSERT_TRUE(net.a->connected());
  net.b->MoveTo(*Endpoint::Parse("198.51.100.9:1111"));
  net.b->RestartDaemon();
  net.BToA(1);
  net.Run(2s);
  EXPECT_EQ(net.a->delivered.size(), 1u);
  net.AToB(2);
  net.Run(2s);
  net.AToB(3);
  net.Run(1s);
  EXPECT_THAT(Tags(*net.b), testing::Contains(3));
}

TEST(Classic, AKilledEngineAgreesOnNewKeys) {
  ClassicPair net;
  net.Run(1s);
  net.a->CrashEngine();
  net.Run(200ms);
  net.AToB(1);
  net.BToA(2);
  net.Run(1s);
  net.BToA(3);
  net.Run(1s);
  EXPECT_EQ(Tags(*net.b).size(), 1u);
  EXPECT_THAT(Tags(*net.a), testing::Contains(3));
}

TEST(Classic, OuterFieldsFollowTheInnerPacket) {
  for (const int cttl : {0, 77}) {
    ClassicPairOptions o;
    o.change = [&](bool, config::ClassicOptions& c) { c.cttl = cttl; };
    ClassicPair net(o);
    net.Run(1s);
    auto inner = MakeInner("10.0.1.1", "10.0.1.2", 1, 100, 0xb8);
    inner[8] = 33;
    inner[6] = 0x40;
    net.a->Inject(inner);
    EXPECT_EQ(net.network.record.back().fields.tos, 0xb8);
    EXPECT_EQ(net.network.record.back().fields.ttl, cttl == 0 ? 33 : 77);
    EXPECT_FALSE(net.network.record.back().fields.may_fragment);
    inner[6] = 0;
    net.a->Inject(inner);
    EXPECT_TRUE(net.network.record.back().fields.may_fragment);
  }
}

TEST(Classic, OnlyIpv4GoesIn) {
  ClassicPair net;
  net.Run(1s);
  net.a->Inject(MakeInner("fd09::1", "fd09::2", 1));
  EXPECT_EQ(net.a->Drops(cipe_drop_tx_classic_not_ipv4), 1u);
}

TEST(Classic, BadPacketsAreDroppedByName) {
  ClassicPair net;
  net.Run(1s);
  net.AToB(1);
  net.Run(100ms);
  const Datagram good = net.network.record.back();
  ASSERT_EQ(good.octets.size(), kDataSize);
  const auto drops_of = [&](std::vector<uint8_t> octets, int reason) {
    const uint64_t before = net.b->Drops(reason);
    Datagram d = good;
    d.octets = std::move(octets);
    net.network.Inject(d);
    net.Run(20ms);
    return net.b->Drops(reason) - before;
  };
  auto damaged = good.octets;
  damaged[100] ^= 1;
  EXPECT_EQ(drops_of(damaged, cipe_drop_rx_classic_crc), 1u);
  auto odd = good.octets;
  odd.pop_back();
  EXPECT_EQ(drops_of(odd, cipe_drop_rx_classic_length), 1u);
  EXPECT_EQ(drops_of({}, cipe_drop_rx_classic_length), 1u);
  EXPECT_EQ(drops_of(std::vector<uint8_t>(8, 0x80), cipe_drop_rx_classic_length), 1u);
  EXPECT_EQ(drops_of(std::vector<uint8_t>(65'504, 0x80), cipe_drop_rx_classic_crc), 1u);
  EXPECT_EQ(net.b->delivered.size(), 1u);
}

// All-zero plaintext has a right CRC. Whoever knows the static key makes one here.
TEST(Classic, ZerosAreNoPacket) {
  ClassicPair net;
  net.network.filter = [](const Datagram&) { return false; };
  std::vector<uint8_t> packet(48);
  classic::Link::Setup setup;
  setup.static_key = std::move(*net.Classic(true).key);
  setup.policy.static_data = true;
  auto link = *classic::Link::Create(setup);
  classic::LinkReport report;
  const classic::CbcPacket cbc{packet.data(), 48};
  ASSERT_TRUE(link->SealData(absl::MakeConstSpan(&cbc, 1), {}, &report));
  net.network.Inject({*Endpoint::Parse(kA), *Endpoint::Parse(kB), packet, 0, {}});
  net.Run(10ms);
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_classic_not_ipv4), 1u);
  EXPECT_TRUE(net.b->delivered.empty());
}

TEST(Classic, ReplayedExchangesChangeNothing) {
  ClassicPairOptions o;
  o.change = [](bool, config::ClassicOptions& c) { c.tokey = 1; };
  ClassicPair net(o);
  for (uint32_t tag = 0; tag < 500; ++tag) {
    net.AToB(tag);
    net.BToA(tag);
    net.Run(10ms);
  }
  const std::vector<Datagram> recorded = net.network.record;
  for (const Datagram& d : recorded) {
    if (!IsDynamic(d)) net.network.Inject(d);
  }
  net.Run(50ms);
  EXPECT_GT(net.b->Drops(cipe_drop_rx_classic_old_key), 3u);
  net.AToB(1000);
  net.BToA(1000);
  net.Run(1s);
  EXPECT_THAT(Tags(*net.a), testing::Contains(1000));
  EXPECT_THAT(Tags(*net.b), testing::Contains(1000));
}

TEST(Classic, NetworkErrorsEndTheTunnelBeyondMaxerr) {
  ClassicPairOptions o;
  o.change = [](bool, config::ClassicOptions& c) { c.maxerr = 2; };
  ClassicPair net(o);
  net.network.filter = [&](const Datagram& d) {
    if (d.from == *Endpoint::Parse(kA)) {
      dataplane::Event event;
      event.type = dataplane::EventType::kClassicError;
      event.tunnel = 1;
      event.peer = 100;
      event.path.remote = d.to;
      event.session = ECONNREFUSED;
      net.a->engine().events().Push(event);
    }
    return false;
  };
  // One error for each offer: at once, after 10 s, after 20 s.
  net.Run(19s);
  EXPECT_EQ(net.a->classic_over, "");
  net.Run(4s);
  EXPECT_THAT(net.a->classic_over, testing::HasSubstr("maxerr is 2"));
}

TEST(Classic, NokeySendsBareIpAndHearsThePeerOnly) {
  ClassicPairOptions o;
  o.change = [](bool, config::ClassicOptions& c) {
    c.key.reset();
    c.nokey = true;
  };
  ClassicPair net(o);
  const auto inner = MakeInner("10.0.1.1", "10.0.1.2", 9, 100);
  net.a->Inject(inner);
  net.Run(100ms);
  EXPECT_THAT(net.b->delivered, testing::ElementsAre(inner));
  EXPECT_EQ(net.network.record.back().octets, inner);
  net.network.Inject({*Endpoint::Parse("198.51.100.9:1111"), *Endpoint::Parse(kB), inner, 0, {}});
  net.Run(100ms);
  EXPECT_EQ(net.b->delivered.size(), 1u);
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_classic_other_source), 1u);
  const auto status = net.a->engine().TakeSnapshot().tunnels.at(0);
  EXPECT_EQ(status.suite, "none");
  EXPECT_EQ(net.a->engine().TakeSnapshot().peers.at(0).public_key, "none");
  EXPECT_THAT(status.insecure.value_or(""), testing::HasSubstr("no encryption"));
}

// A relay on the wire that reads and writes the ten octets, as RFC 1928 has it.
TEST(Classic, GoesThroughASocksRelay) {
  ClassicPairOptions o;
  o.change = [](bool is_a, config::ClassicOptions& c) {
    if (is_a) c.socks = config::EndpointSpec{"203.0.113.1", 1080};
  };
  ClassicPair net(o);
  const Endpoint relay = *Endpoint::Parse("203.0.113.1:4000"), a = *Endpoint::Parse(kA);
  // As B sees it, A is the relay.
  net.network.Attach(relay, [&](const Datagram& d) {
    Datagram out = d;
    out.from = relay;
    if (d.from == a) {
      const auto to = classic::ReadSocksHeader(d.octets);
      ASSERT_TRUE(to.has_value());
      out.to = *to;
      out.octets.erase(out.octets.begin(), out.octets.begin() + 10);
    } else {
      out.to = a;
      out.octets.insert(out.octets.begin(), 10, 0);
      classic::WriteSocksHeader(d.from, out.octets.data());
    }
    net.network.Send(out);
  });
  net.network.filter = [&](const Datagram& d) { return !(d.to == a && !(d.from == relay)); };
  net.Run(1s);
  EXPECT_FALSE(net.a->connected());
  net.a->engine().ClassicRelay(1, relay, "connected");
  net.AToB(1);
  net.Run(12s);
  ASSERT_TRUE(net.a->connected());
  net.BToA(2);
  net.Run(1s);
  EXPECT_EQ(Tags(*net.b), std::set<uint32_t>{1});
  EXPECT_EQ(Tags(*net.a), std::set<uint32_t>{2});
  EXPECT_EQ(net.a->peer().path.path.Get().remote, *Endpoint::Parse(kB));
  // What does not come from the relay is not heard.
  const uint64_t before = net.a->Drops(cipe_drop_rx_classic_other_source);
  net.network.Inject({*Endpoint::Parse(kB), a, std::vector<uint8_t>(48), 0, {}});
  net.Run(10ms);
  EXPECT_EQ(net.a->Drops(cipe_drop_rx_classic_other_source), before + 1);
}

TEST(Classic, StatusSaysWhatItIs) {
  ClassicPair net;
  net.Run(5s);
  net.AToB(1);
  net.Run(100ms);
  const control::Snapshot s = net.a->engine().TakeSnapshot();
  EXPECT_EQ(s.tunnels.at(0).protocol, 3);
  EXPECT_EQ(s.tunnels.at(0).suite, "blowfish");
  EXPECT_TRUE(s.tunnels.at(0).insecure.has_value());
  EXPECT_EQ(s.peers.at(0).status, control::PeerStatus::kConnected);
  EXPECT_EQ(s.peers.at(0).endpoint, kB);
  ASSERT_EQ(s.sessions.size(), 2u);
  EXPECT_EQ(s.sessions[0].role, "sender");
  EXPECT_EQ(s.sessions[0].age_s, 5);
  EXPECT_EQ(s.sessions[0].tx_counter, 2u);  // and the first packet under a new key, CT_DUMMY
  EXPECT_EQ(s.sessions[1].role, "receiver");
}

TEST(Classic, SuspendMakesNewKeys) {
  ClassicPair net;
  net.Run(1s);
  net.a->engine().WipeSessions();
  net.Run(100ms);
  net.AToB(1);
  net.BToA(2);
  net.Run(100ms);
  EXPECT_EQ(net.a->delivered.size() + net.b->delivered.size(), 2u);
  EXPECT_EQ(net.a->tunnel().classic->exchange->completed(), 2u);
  EXPECT_EQ(net.b->tunnel().classic->exchange->completed(), 2u);
}

}  // namespace
}  // namespace cipe::sim
