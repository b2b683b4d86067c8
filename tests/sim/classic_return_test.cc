// Tunnels of protocol 3 whose ends restart, come back elsewhere or are lied about by strangers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cipe/abi/drop_reasons.h"
#include "classic/packet.h"
#include "tests/sim/classic_pair.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

const char kElsewhere[] = "198.51.100.9:1111";

Endpoint At(const char* text) { return *Endpoint::Parse(text); }
bool IsDynamic(const Datagram& d) { return (d.octets[0] & classic::kKeyFlag) != 0; }
Endpoint RemoteOf(Host& host) { return host.peer().path.path.Get().remote; }

// Neither end has anything to say by itself. A genuine peer of 1999 sends nothing under its new key
// before it has data for us: then our own offer has to find it.
TEST(ClassicReturn, APeerThatRestartsSomewhereElseIsFollowed) {
  for (const bool genuine : {false, true}) {
    ClassicPair net;
    net.Run(5s);
    net.b->MoveTo(At(kElsewhere));
    net.b->RestartDaemon();
    if (genuine) {
      net.network.filter = [](const Datagram& d) {
        return !(d.from == At(kElsewhere) && IsDynamic(d));
      };
    }
    net.Run(3s);
    EXPECT_EQ(RemoteOf(*net.a), At(kElsewhere)) << genuine;
    net.network.filter = nullptr;
    net.AToB(1);
    net.BToA(2);
    net.Run(1s);
    EXPECT_EQ(Tags(*net.b), std::set<uint32_t>{1}) << genuine;
    EXPECT_EQ(Tags(*net.a), std::set<uint32_t>{2}) << genuine;
  }
}

// Nothing is lost on the way back either: the restarted end asks for our key with its first offer.
TEST(ClassicReturn, ARestartedPeerIsSentNothingItCannotOpen) {
  ClassicPair net;
  net.Run(5s);
  net.b->RestartDaemon();
  net.Run(1s);
  for (uint32_t tag = 1; tag <= 5; ++tag) net.AToB(tag);
  net.Run(1s);
  EXPECT_EQ(Tags(*net.b).size(), 5u);
  EXPECT_EQ(net.b->Drops(cipe_drop_rx_classic_no_key), 0u);
}

TEST(ClassicReturn, OldOffersFromElsewhereMoveNothing) {
  ClassicPair net;
  net.Run(5s);
  const std::vector<Datagram> former = net.network.record;
  net.a->RestartDaemon();
  net.b->RestartDaemon();
  net.Run(3s);
  int replayed = 0;
  for (Datagram d : former) {
    if (!(d.from == At(kB)) || IsDynamic(d)) continue;
    d.from = At(kElsewhere);
    net.network.Inject(d);
    ++replayed;
    net.Run(1500ms);
    EXPECT_EQ(RemoteOf(*net.a), At(kB)) << "after datagram " << replayed;
  }
  EXPECT_GE(replayed, 2);
  net.AToB(1);
  net.BToA(2);
  net.Run(1s);
  EXPECT_EQ(Tags(*net.b), std::set<uint32_t>{1});
  EXPECT_EQ(Tags(*net.a), std::set<uint32_t>{2});
}

TEST(ClassicReturn, ALearningEndThatRestartsAsksWhoSends) {
  ClassicPairOptions o;
  o.a_knows_b = false;
  ClassicPair net(o);
  net.Run(5s);
  net.BToA(1);
  net.Run(1s);
  net.a->RestartDaemon();
  net.Run(1s);
  EXPECT_FALSE(RemoteOf(*net.a).is_set());
  net.BToA(2);
  net.Run(1s);
  EXPECT_EQ(RemoteOf(*net.a), At(kB));
  net.BToA(3);
  net.AToB(4);
  net.Run(1s);
  EXPECT_THAT(Tags(*net.a), testing::Contains(3));
  EXPECT_EQ(Tags(*net.b), std::set<uint32_t>{4});
}

TEST(ClassicReturn, QuestionsToStrangersAreFewAndShort) {
  ClassicPairOptions o;
  o.a_knows_b = false;
  ClassicPair net(o);
  net.Run(1s);
  net.network.filter = [](const Datagram& d) { return !(d.from == At(kB)); };
  net.a->LosePower();
  const size_t before = net.network.record.size();
  for (uint32_t i = 0; i < 5000; ++i) {
    const Endpoint from = At(absl::StrCat("203.0.113.", 1 + i % 250, ":", 1000 + i % 99).c_str());
    net.network.Inject({from, At(kA), std::vector<uint8_t>(i % 2 == 0 ? 72 : 64, 0x80), 0, {}});
    net.Run(1ms);
  }
  size_t asked = 0;
  for (size_t i = before; i < net.network.record.size(); ++i) {
    const Datagram& d = net.network.record[i];
    if (!(d.from == At(kA))) continue;
    ++asked;
    EXPECT_EQ(d.octets.size(), 72u);
  }
  EXPECT_GE(asked, 4u);
  EXPECT_LE(asked, 6u);
}

// Whoever recorded three sessions plays them back after a restart that forgot their keys.
TEST(ClassicReturn, FormerSessionsReplayedDoNotPushTheKeyInUseOut) {
  ClassicPair net;
  std::vector<Datagram> former;
  for (int session = 0; session < 6; ++session) {
    net.network.record.clear();
    net.Run(2s);
    for (uint32_t tag = 0; tag < 3; ++tag) {
      net.BToA(1000 + tag);
      net.Run(100ms);
    }
    for (const Datagram& d : net.network.record) {
      if (d.from == At(kB)) former.push_back(d);
    }
    net.a->LosePower();
    net.b->LosePower();
  }
  net.Run(3s);
  net.AToB(1);
  net.BToA(1);
  net.Run(3s);
  for (const Datagram& d : former) {
    net.network.Inject(d);
    net.Run(5ms);
  }
  net.a->delivered.clear();
  net.b->delivered.clear();
  for (uint32_t tag = 10; tag < 40; ++tag) {
    net.AToB(tag);
    net.BToA(tag);
    net.Run(500ms);
  }
  // Some seconds may be lost, and not ten minutes.
  EXPECT_GE(Tags(*net.a).size(), 24u);
  EXPECT_GE(Tags(*net.b).size(), 24u);
  EXPECT_THAT(Tags(*net.a), testing::Contains(39));
}

void SpoofIcmp(Host& host, const char* about) {
  dataplane::Event event;
  event.type = dataplane::EventType::kClassicError;
  event.tunnel = 1;
  event.peer = 100;
  event.path.remote = At(about);
  event.session = ECONNREFUSED;
  host.engine().events().Push(event);
}

TEST(ClassicReturn, SpoofedNetworkErrorsEndNothing) {
  for (const bool busy : {false, true}) {
    for (const int maxerr : {0, 8}) {
      ClassicPairOptions o;
      o.change = [&](bool, config::ClassicOptions& c) { c.maxerr = maxerr; };
      ClassicPair net(o);
      net.Run(2s);
      for (uint32_t i = 0; i < 60; ++i) {
        SpoofIcmp(*net.a, kB);
        if (busy) net.BToA(i);
        net.Run(1050ms);
        ASSERT_EQ(net.a->classic_over, "") << busy << ", maxerr " << maxerr << ", error " << i;
      }
      // Nobody is there any more: the documented end.
      net.network.filter = [](const Datagram&) { return false; };
      for (int i = 0; i < maxerr + 2; ++i) {
        SpoofIcmp(*net.a, kB);
        net.Run(1050ms);
      }
      EXPECT_NE(net.a->classic_over, "");
    }
  }
}

TEST(ClassicReturn, ALearningEndGoesBackToLearning) {
  ClassicPairOptions o;
  o.a_knows_b = false;
  ClassicPair net(o);
  net.Run(2s);
  ASSERT_EQ(RemoteOf(*net.a), At(kB));
  net.network.filter = [](const Datagram&) { return false; };
  for (int i = 0; i < 12; ++i) {
    SpoofIcmp(*net.a, kB);
    net.Run(1050ms);
  }
  EXPECT_EQ(net.a->classic_over, "");
  EXPECT_FALSE(RemoteOf(*net.a).is_set());
  EXPECT_FALSE(net.a->connected());
  net.network.filter = nullptr;
  net.b->MoveTo(At(kElsewhere));
  net.BToA(1);
  net.Run(3s);
  EXPECT_EQ(RemoteOf(*net.a), At(kElsewhere));
  net.AToB(2);
  net.Run(1s);
  EXPECT_EQ(Tags(*net.b), std::set<uint32_t>{2});
  EXPECT_EQ(Tags(*net.a), std::set<uint32_t>{1});
}

TEST(ClassicReturn, AddressesThatNoPeerCanHave) {
  ClassicPair net;
  net.Run(2s);
  net.BToA(1);
  net.Run(100ms);
  const Datagram data = net.network.record.back();
  ASSERT_EQ(data.octets.size(), kDataSize);
  const Endpoint b = RemoteOf(*net.a);
  for (const char* source : {"127.0.0.1:5", "224.0.0.9:5", "255.255.255.255:9", "240.0.0.1:9",
                             "0.0.0.1:7", kA, "10.0.1.2:6543", "10.0.1.1:6543"}) {
    Datagram copy = data;
    copy.from = At(source);
    net.network.Inject(copy);
    net.Run(20ms);
    EXPECT_EQ(RemoteOf(*net.a), b) << source;
  }
  Datagram copy = data;
  copy.from = {*IpAddress::Parse("198.51.100.1"), 0};
  net.network.Inject(copy);
  net.Run(20ms);
  EXPECT_EQ(RemoteOf(*net.a), b) << "port 0";
}

TEST(ClassicReturn, AnswersAreLimitedInNumberAndSize) {
  ClassicPair net;
  net.Run(2s);
  classic::Link::Setup setup;
  setup.static_key = std::move(*net.Classic(true).key);
  auto link = *classic::Link::Create(setup);
  SeededRng rng(5);
  uint8_t block[classic::kMostBlock];
  classic::Block ping;
  ping.kind = classic::Kind::kPing;
  const size_t size = classic::WriteBlock(ping, {}, rng, block, classic::kLeastBlock);
  std::vector<uint8_t> packet(classic::SealedSize(size));
  classic::Assemble(classic::PacketType::kNewKey, absl::MakeConstSpan(block, size), rng,
                    packet.data());
  classic::LinkReport report;
  link->SealBlock({packet.data(), static_cast<uint32_t>(packet.size())}, classic::Under::kStatic,
                  {}, &report);
  const size_t before = net.network.record.size();
  for (int i = 0; i < 1000; ++i) {
    net.network.Inject({At(kElsewhere), At(kA), packet, 0, {}});
    net.Run(5ms);
  }
  size_t answers = 0;
  for (size_t i = before; i < net.network.record.size(); ++i) {
    const Datagram& d = net.network.record[i];
    if (!(d.to == At(kElsewhere))) continue;
    ++answers;
    EXPECT_LE(d.octets.size(), packet.size());
  }
  EXPECT_GE(answers, 10u);
  EXPECT_LE(answers, 65u);  // ten at once and ten a second
  EXPECT_GT(net.a->Drops(cipe_drop_rx_classic_too_often), 900u);
}

TEST(ClassicReturn, TheNameOfASilentPeerIsLookedUpAgain) {
  ClassicPairOptions o;
  o.change = [](bool is_a, config::ClassicOptions& c) {
    if (is_a) c.peer.host = "bhost.example";
    c.maxerr = -1;
  };
  ClassicPair net(o);
  net.Run(5s);
  for (uint32_t tag = 0; tag < 30; ++tag) {
    net.AToB(tag);
    net.BToA(tag);
    net.Run(1s);
  }
  EXPECT_EQ(net.a->failed.size(), 0u) << "a peer that is heard";
  const Endpoint moved = At(kElsewhere);
  // What the name says does not move a peer that is heard.
  net.a->engine().EndpointResolved(1, 100, moved, "");
  EXPECT_EQ(RemoteOf(*net.a), At(kB));
  net.b->MoveTo(moved);
  for (uint32_t tag = 100; tag < 120; ++tag) {
    net.AToB(tag);
    net.Run(1s);
  }
  EXPECT_GE(net.a->failed.size(), 1u);
  EXPECT_LE(net.a->failed.size(), 2u);
  net.a->engine().EndpointResolved(1, 100, moved, "");
  net.Run(1s);
  EXPECT_EQ(RemoteOf(*net.a), moved);
  net.AToB(200);
  net.Run(1s);
  EXPECT_THAT(Tags(*net.b), testing::Contains(200));
}

}  // namespace
}  // namespace cipe::sim
