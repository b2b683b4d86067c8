// Tunnels that get another configuration while they run (cipectl reload).
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;

config::Peer Stranger(SeededRng& rng, const std::string& name, const std::string& prefix) {
  config::Peer peer;
  peer.name = name;
  rng.Fill(absl::MakeSpan(peer.public_key));
  peer.allowed_ips = {*IpPrefix::Parse(prefix)};
  return peer;
}

std::set<uint32_t> Tags(const Host& host) {
  std::set<uint32_t> tags;
  for (const auto& inner : host.delivered) tags.insert(TagOf(inner));
  return tags;
}

class Change : public ::testing::Test {
 protected:
  Change() { Connect(); }
  void Connect() {
    pair.AToB(1);
    pair.Run(2s);
    ASSERT_TRUE(pair.a->connected() && pair.b->connected());
    ASSERT_EQ(Tags(*pair.b), std::set<uint32_t>{1});
  }
  // Of a, with its endpoint as it is.
  absl::Status ChangeA(config::Tunnel config) {
    std::vector<Endpoint> endpoints(config.peers.size());
    for (size_t i = 0; i < endpoints.size(); ++i) {
      if (!config.peers[i].endpoints.empty()) {
        endpoints[i] = *Endpoint::Parse(config.peers[i].endpoints.front().ToString());
      }
    }
    return pair.a->Change(std::move(config), endpoints);
  }

  SeededRng rng{11};
  Pair pair;
};

TEST_F(Change, WhoStaysKeepsHisSessionAndEveryPacket) {
  const session::Session* before = pair.a->peer().current;
  uint32_t tag = 1;
  for (int i = 0; i < 50; ++i) {
    config::Tunnel config = pair.a->CopyConfig();
    switch (i % 5) {
      case 0:
        config.peers.push_back(
            Stranger(rng, absl::StrCat("s", i), absl::StrCat("10.", i, ".0.0/16")));
        break;
      case 1:
        std::swap(config.peers.front(), config.peers.back());
        break;
      case 2:
        config.peers.back().persistent_keepalive_s = i;
        config.rekey_s = 60 + i;
        break;
      case 3:
        for (config::Peer& p : config.peers) p.name += "x";
        break;
      default:
        std::erase_if(config.peers, [](const config::Peer& p) { return p.name[0] == 's'; });
    }
    pair.AToB(++tag);
    ASSERT_TRUE(ChangeA(std::move(config)).ok());
    pair.BToA(++tag);
    pair.Run(20ms);
  }
  ASSERT_EQ(pair.a->tunnel().peers.size(), 1u);
  EXPECT_EQ(pair.a->peer().current, before);
  EXPECT_EQ(pair.a->tunnel().config.rekey_s, 60 + 47);
  EXPECT_EQ(Tags(*pair.a).size() + Tags(*pair.b).size(), tag);
  EXPECT_EQ(pair.a->AllDrops() + pair.b->AllDrops(), 0u);
}

TEST_F(Change, WhoGoesIsToldAndNothingOfHimIsLeft) {
  config::Tunnel config = pair.a->CopyConfig();
  config::Peer peer = std::move(config.peers.front());
  config.peers.clear();
  ASSERT_TRUE(ChangeA(config.Clone()).ok());
  EXPECT_EQ(pair.a->engine().sessions().size(), 0u);
  pair.Run(1s);
  EXPECT_FALSE(pair.b->connected());
  pair.AToB(7);
  EXPECT_EQ(pair.a->Drops(cipe_drop_tx_no_route), 1u);
  EXPECT_EQ(pair.a->answered.size(), 1u) << "its sender is told that nobody is there";
  pair.BToA(8);
  pair.Run(3s);
  EXPECT_TRUE(Tags(*pair.a).empty());
  EXPECT_GT(pair.a->Drops(cipe_drop_hs_unknown_peer), 0u);
  // And back: what b waits with gets through, what a dropped does not.
  config.peers.push_back(std::move(peer));
  ASSERT_TRUE(ChangeA(std::move(config)).ok());
  pair.Run(10s);
  EXPECT_TRUE(pair.a->connected() && pair.b->connected());
  pair.AToB(9);
  pair.Run(1s);
  EXPECT_EQ(Tags(*pair.b), (std::set<uint32_t>{1, 9}));
}

TEST_F(Change, PacketsThatWaitForAPeerGoWithHim) {
  config::Tunnel config = pair.a->CopyConfig();
  config.peers.push_back(Stranger(rng, "silent", "10.77.0.0/16"));
  ASSERT_TRUE(ChangeA(config.Clone()).ok());
  for (uint32_t i = 0; i < 20; ++i) pair.a->Inject(MakeInner("10.9.0.1", "10.77.0.1", i));
  config.peers.pop_back();
  ASSERT_TRUE(ChangeA(std::move(config)).ok());  // under ASan: nobody looks at him any more
  pair.Run(20s);
  pair.AToB(5);
  pair.Run(1s);
  EXPECT_TRUE(Tags(*pair.b).contains(5));
}

TEST_F(Change, ANewPresharedKeyIsBridgedByTheSession) {
  const auto psk = [](uint8_t first) {
    std::array<uint8_t, 32> octets{first};
    return Secret<32>::FromSpan(octets);
  };
  const session::Session* before = pair.a->peer().current;
  config::Tunnel a = pair.a->CopyConfig(), b = pair.b->CopyConfig();
  a.peers[0].preshared_key = psk(7);
  b.peers[0].preshared_key = psk(7);
  ASSERT_TRUE(ChangeA(std::move(a)).ok());
  pair.AToB(2);
  pair.Run(3s);
  EXPECT_EQ(pair.a->peer().current, before) << "b has not got it yet";
  EXPECT_TRUE(Tags(*pair.b).contains(2));
  const Endpoint at = *Endpoint::Parse("192.0.2.1:6789");
  ASSERT_TRUE(pair.b->Change(std::move(b), {at}).ok());
  pair.Run(2s);
  EXPECT_NE(pair.a->peer().current, before) << "and no packet was needed for it";
  EXPECT_TRUE(pair.a->connected() && pair.b->connected());
}

TEST_F(Change, ANewPrivateKeyEndsSessionsAndMakesNewOnes) {
  const Secret<32> key = GeneratePrivateKey(rng);
  config::Tunnel a = pair.a->CopyConfig(), b = pair.b->CopyConfig();
  a.private_key = key.Clone();
  b.peers[0].public_key = *PublicKey(key);
  ASSERT_TRUE(ChangeA(std::move(a)).ok());
  EXPECT_FALSE(pair.a->connected());
  pair.Run(1s);
  EXPECT_FALSE(pair.b->connected()) << "it was told";
  ASSERT_TRUE(pair.b->Change(std::move(b), {*Endpoint::Parse("192.0.2.1:6789")}).ok());
  pair.Run(2s);
  EXPECT_TRUE(pair.a->connected() && pair.b->connected());
  pair.AToB(3);
  pair.BToA(4);
  pair.Run(1s);
  EXPECT_TRUE(Tags(*pair.b).contains(3) && Tags(*pair.a).contains(4));
}

TEST_F(Change, AReservationOfTheOldKeyIsNoneOfTheNew) {
  pair.a->disk_latency = 1s;
  config::Tunnel a = pair.a->CopyConfig();
  pair.Run(30s);                                    // the reservation is used up
  pair.a->engine().StartHandshake(pair.a->peer());  // asks the disk for the old identity
  a.private_key = GeneratePrivateKey(rng);
  ASSERT_TRUE(ChangeA(std::move(a)).ok());
  pair.Run(500ms);
  EXPECT_FALSE(pair.a->peer().sender->sent().IsValid()) << "nothing is on disk for it";
  pair.Run(10s);
  EXPECT_TRUE(pair.a->peer().sender->sent().IsValid());
  EXPECT_LE(pair.a->peer().sender->sent(), pair.a->SentOnDisk());
}

TEST_F(Change, AFaultyOneChangesNothing) {
  const session::Session* before = pair.a->peer().current;
  const dataplane::PeerMap* map = pair.a->peer_map();
  config::Tunnel config = pair.a->CopyConfig();
  config.peers.push_back(Stranger(rng, "thief", "10.9.0.2/32"));
  config.peers.front().name = "renamed";
  EXPECT_EQ(ChangeA(std::move(config)).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(pair.a->peer().current, before);
  EXPECT_EQ(pair.a->peer().config.name, "b");
  EXPECT_EQ(pair.a->peer_map(), map);
  EXPECT_EQ(pair.a->tunnel().peers.size(), 1u);
}

// Prefixes wander between peers; after each change the map says what a look at every prefix says.
TEST_F(Change, PrefixesWanderAsANaiveModelSays) {
  std::mt19937 random(3);
  config::Tunnel base = pair.a->CopyConfig();
  for (int i = 0; i < 5; ++i)
    base.peers.push_back(Stranger(rng, absl::StrCat("s", i), "10.0.0.0/8"));
  const auto address = [&] {
    return *IpAddress::Parse(
        absl::StrCat("10.", random() % 3, ".", random() % 4, ".", random() % 8));
  };
  for (int round = 0; round < 300; ++round) {
    config::Tunnel config = base.Clone();
    for (size_t p = 1; p < config.peers.size(); ++p) config.peers[p].allowed_ips.clear();
    std::set<IpPrefix> used;
    for (int i = 0; i < 12; ++i) {
      const IpPrefix prefix = IpPrefix{address(), static_cast<int>(8 + random() % 25)}.Masked();
      if (!used.insert(prefix).second) continue;
      config.peers[1 + random() % 5].allowed_ips.push_back(prefix);
    }
    ASSERT_TRUE(ChangeA(config.Clone()).ok());
    for (int i = 0; i < 40; ++i) {
      const IpAddress wanted = address();
      int longest = -1;
      const session::PeerPath* owner = nullptr;
      for (size_t p = 0; p < config.peers.size(); ++p) {
        for (const IpPrefix& prefix : config.peers[p].allowed_ips) {
          if (!prefix.Contains(wanted) || prefix.length <= longest) continue;
          longest = prefix.length;
          owner = &pair.a->peer(p).path;
        }
      }
      ASSERT_EQ(pair.a->peer_map()->Find(true, wanted.octets.data()), owner) << wanted.ToString();
    }
  }
}

TEST_F(Change, IdlePeersCostNothing) {
  config::Tunnel config = pair.a->CopyConfig();
  for (int i = 0; i < 2000; ++i) {
    config.peers.push_back(
        Stranger(rng, absl::StrCat("s", i), absl::StrCat("10.", i / 250, ".", i % 250, ".0/24")));
  }
  std::erase_if(config.peers, [](const config::Peer& p) { return p.name == "b"; });
  ASSERT_TRUE(ChangeA(std::move(config)).ok());
  pair.Run(1s);
  EXPECT_GE(pair.a->engine().Tick() - pair.clock.Now(), 3000s) << "somebody is looked at";
}

// Thousands of handshakes do not begin at once.
TEST_F(Change, ManyHandshakesBeginOneAfterTheOther) {
  config::Tunnel config = pair.a->CopyConfig();
  for (int i = 0; i < 1000; ++i) {
    config.peers.push_back(
        Stranger(rng, absl::StrCat("s", i), absl::StrCat("10.", i / 250, ".", i % 250, ".0/24")));
    config.peers.back().endpoints = {{"203.0.113.1", static_cast<uint16_t>(1000 + i)}};
  }
  ASSERT_TRUE(ChangeA(std::move(config)).ok());
  const auto begun = [&] {
    size_t n = 0;
    for (const auto& peer : pair.a->tunnel().peers) n += peer->attempt.has_value() ? 1 : 0;
    return n;
  };
  EXPECT_LE(begun(), 100u);
  pair.Run(500ms);
  EXPECT_GT(begun(), 300u);
  EXPECT_LT(begun(), 700u);
  pair.Run(1s);
  EXPECT_EQ(begun(), 1000u);
}

}  // namespace
}  // namespace cipe::sim
