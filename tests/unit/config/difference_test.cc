// Differences of configurations: every field of the model is changed once and must show; what stays
// the same must not.
#include "config/difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/str_cat.h"

namespace cipe::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::array<uint8_t, 32> Octets(uint8_t start) {
  std::array<uint8_t, 32> octets;
  for (size_t i = 0; i < 32; ++i) octets[i] = static_cast<uint8_t>(start + 3 * i);
  return octets;
}

IpPrefix P(absl::string_view text) { return *IpPrefix::Parse(text); }

Peer MakePeer(const std::string& name, uint8_t key) {
  Peer peer;
  peer.name = name;
  peer.public_key = Octets(key);
  peer.allowed_ips = {P(absl::StrCat("10.0.", int{key}, ".0/24"))};
  return peer;
}

Peer MakeShared(const std::string& name, uint8_t key) {
  Peer peer;
  peer.name = name;
  peer.auth = Auth::kSharedKey;
  const auto octets = Octets(key);
  peer.shared_key = SecretBytes::FromSpan(octets);
  return peer;
}

Tunnel MakeTunnel() {
  Tunnel t;
  t.name = "site-a";
  t.path = "/etc/cipe/site-a.conf";
  t.addresses = {P("10.9.0.1/32")};
  t.private_key = Secret<32>::FromSpan(Octets(1));
  t.peers.push_back(MakePeer("north", 10));
  t.peers.push_back(MakePeer("south", 20));
  t.peers.push_back(MakeShared("east", 30));
  return t;
}

Difference Changed(const std::function<void(Tunnel&)>& change) {
  const Tunnel before = MakeTunnel();
  Tunnel after = MakeTunnel();
  change(after);
  return FindDifference(before, after);
}

struct Change {
  const char* line;  // how the only line must start
  std::function<void(Tunnel&)> make;
  bool refused = false;
};

// One per member of TunnelOptions and Hooks.
std::vector<Change> InterfaceChanges() {
  return {
      {"Address: 10.9.0.1/32 -> 10.9.0.1/32, fd00::1/64",
       [](Tunnel& t) { t.addresses.push_back(P("fd00::1/64")); }},
      {"ListenPort: 0 -> 6789", [](Tunnel& t) { t.listen_port = 6789; }},
      {"Protocol: 5 -> 3", [](Tunnel& t) { t.protocol = 3; }, true},
      {"Datapath: auto -> socket", [](Tunnel& t) { t.datapath = Datapath::kSocket; }},
      {"Suite: aes256gcm -> chacha20poly1305",
       [](Tunnel& t) { t.suite = Suite::kChaChaPolyBlake2s; }, true},
      {"Carrier: auto -> eth0, eth1",
       [](Tunnel& t) {
         t.carriers = {"eth0", "eth1"};
       }},
      {"Lanes: 1 -> 4", [](Tunnel& t) { t.lanes = 4; }},
      {"MTU: auto -> 1400", [](Tunnel& t) { t.mtu = 1400; }},
      {"MSSClamp: yes -> no", [](Tunnel& t) { t.mss_clamp = false; }},
      {"DSCP: none -> copy", [](Tunnel& t) { t.dscp = DscpChoice::kCopy; }},
      {"DSCP: none -> ", [](Tunnel& t) { t.dscp_value = 7; }},
      {"Table: auto -> off", [](Tunnel& t) { t.table = TableChoice::kOff; }},
      {"Table: auto -> ", [](Tunnel& t) { t.table_number = 7; }},
      {"Metric: 0 -> 50", [](Tunnel& t) { t.metric = 50; }},
      {"FwMark: off -> 77", [](Tunnel& t) { t.fwmark = 77; }},
      {"RejectWhenDown: no -> yes", [](Tunnel& t) { t.reject_when_down = true; }},
      {"Rekey: 120 -> 60", [](Tunnel& t) { t.rekey_s = 60; }},
      {"PreUp: none -> a; b",
       [](Tunnel& t) {
         t.hooks.pre_up = {"a", "b"};
       }},
      {"PostUp: none -> a", [](Tunnel& t) { t.hooks.post_up = {"a"}; }},
      {"PreDown: none -> a", [](Tunnel& t) { t.hooks.pre_down = {"a"}; }},
      {"PostDown: none -> a", [](Tunnel& t) { t.hooks.post_down = {"a"}; }},
      {"PrivateKey changed", [](Tunnel& t) { t.private_key = Secret<32>::FromSpan(Octets(2)); }},
  };
}

// One per member of PeerOptions and Peer that a kept peer can differ in.
std::vector<Change> PeerChanges() {
  return {
      {"peer n2: Name: north -> n2", [](Tunnel& t) { t.peers[0].name = "n2"; }},
      {"peer north: Endpoint: none -> vpn.example.org:1",
       [](Tunnel& t) {
         t.peers[0].endpoints = {{"vpn.example.org", 1}};
       }},
      {"peer north: AllowedIPs + 10.77.0.0/16",
       [](Tunnel& t) { t.peers[0].allowed_ips.push_back(P("10.77.0.0/16")); }},
      {"peer north: AllowedIPs - 10.0.10.0/24", [](Tunnel& t) { t.peers[0].allowed_ips.clear(); }},
      {"peer north: PersistentKeepalive: off -> 25",
       [](Tunnel& t) { t.peers[0].persistent_keepalive_s = 25; }},
      {"peer north: Ping: off -> 10", [](Tunnel& t) { t.peers[0].ping_s = 10; }},
      {"peer north: PingTimeout: off -> 3", [](Tunnel& t) { t.peers[0].ping_timeout_s = 3; }},
      {"peer north: PresharedKey added",
       [](Tunnel& t) { t.peers[0].preshared_key = Secret<32>::FromSpan(Octets(9)); }},
  };
}

// Whoever adds a member to the model makes this fail to compile, and then adds a row above and one
// in difference.cc. Without the latter FindDifference refuses the change, which the tests below
// see.
TEST(Difference, KnowsEveryMember) {
  const TunnelOptions tunnel;
  [[maybe_unused]] const auto& [name, path, addresses, listen_port, protocol, datapath, suite,
                                carriers, lanes, mtu, mss_clamp, dscp, dscp_value, table,
                                table_number, metric, fwmark, reject_when_down, rekey_s, hooks] =
      tunnel;
  [[maybe_unused]] const auto& [pre_up, post_up, pre_down, post_down] = hooks;
  const PeerOptions peer;
  [[maybe_unused]] const auto& [peer_name, auth, public_key, endpoints, allowed_ips, keepalive,
                                ping, ping_timeout] = peer;
  // 20 of the tunnel but name, path and hooks; 4 hooks; the private key.
  EXPECT_THAT(InterfaceChanges(), SizeIs(20 - 3 + 4 + 1));
  // 8 of the peer but auth and public key, which it is known by; both ways for AllowedIPs; the
  // preshared key.
  EXPECT_THAT(PeerChanges(), SizeIs(8 - 2 + 1 + 1));
}

TEST(Difference, EveryOptionOfTheInterfaceShows) {
  for (const Change& change : InterfaceChanges()) {
    const Difference d = Changed(change.make);
    ASSERT_THAT(d.lines, SizeIs(1)) << change.line;
    EXPECT_THAT(d.lines[0], ::testing::StartsWith(change.line));
    EXPECT_EQ(d.refused.empty(), !change.refused) << change.line;
    EXPECT_THAT(d.kept, SizeIs(3));
    for (const KeptPeer& kept : d.kept) EXPECT_FALSE(kept.changed) << change.line;
  }
}

TEST(Difference, EveryOptionOfAPeerShows) {
  for (const Change& change : PeerChanges()) {
    const Difference d = Changed(change.make);
    ASSERT_THAT(d.lines, SizeIs(1)) << change.line;
    EXPECT_THAT(d.lines[0], ::testing::StartsWith(change.line));
    EXPECT_THAT(d.refused, IsEmpty()) << change.line;
    ASSERT_THAT(d.kept, SizeIs(3));
    EXPECT_TRUE(d.kept[0].changed) << change.line;
    EXPECT_FALSE(d.kept[1].changed || d.kept[2].changed) << change.line;
    EXPECT_THAT(d.added, IsEmpty());
    EXPECT_THAT(d.removed, IsEmpty());
  }
}

TEST(Difference, NothingChangedIsNoLine) {
  const Difference d = Changed([](Tunnel& t) { t.path = "/elsewhere/site-a.conf"; });
  EXPECT_TRUE(d.empty());
  EXPECT_THAT(d.kept, SizeIs(3));
  EXPECT_FALSE(d.private_key || d.listen_port || d.fwmark || d.addresses || d.datapath);
}

TEST(Difference, FlagsSayWhatToTouch) {
  EXPECT_TRUE(Changed([](Tunnel& t) { t.fwmark = 1; }).fwmark);
  EXPECT_TRUE(Changed([](Tunnel& t) { t.listen_port = 1; }).listen_port);
  EXPECT_TRUE(Changed([](Tunnel& t) { t.addresses.clear(); }).addresses);
  EXPECT_TRUE(Changed([](Tunnel& t) { t.carriers = {"eth0"}; }).datapath);
  EXPECT_TRUE(Changed([](Tunnel& t) { t.datapath = Datapath::kXdp; }).datapath);
  EXPECT_TRUE(Changed([](Tunnel& t) { t.private_key.reset(); }).private_key);
  EXPECT_TRUE(Changed([](Tunnel& t) { t.peers[1].endpoints = {{"h", 1}}; }).kept[1].endpoints);
}

TEST(Difference, PeersComeGoAndAreKnownByTheirKeys) {
  const Difference d = Changed([](Tunnel& t) {
    t.peers.erase(t.peers.begin());            // north goes
    t.peers[0].name = "renamed";               // south has another name
    t.peers.push_back(MakePeer("north", 40));  // the same name, another key: another peer
    t.peers.insert(t.peers.begin(), MakeShared("west", 50));
  });
  EXPECT_THAT(d.removed, ElementsAre(0));
  EXPECT_THAT(d.added, ElementsAre(0, 3));
  ASSERT_THAT(d.kept, SizeIs(2));
  EXPECT_EQ(d.kept[0].before, 1u);
  EXPECT_EQ(d.kept[0].after, 1u);
  EXPECT_TRUE(d.kept[0].changed);
  EXPECT_FALSE(d.kept[1].changed) << "the shared key is the same";
  EXPECT_THAT(d.lines, ElementsAre("peer north: removed", "peer renamed: Name: south -> renamed",
                                   "peer west: added, AllowedIPs none",
                                   "peer north: added, AllowedIPs 10.0.40.0/24"));
}

TEST(Difference, APrefixThatMovesIsTwoLines) {
  const Difference d = Changed([](Tunnel& t) {
    t.peers[1].allowed_ips.push_back(t.peers[0].allowed_ips[0]);
    t.peers[0].allowed_ips.clear();
  });
  EXPECT_THAT(d.lines, ElementsAre("peer north: AllowedIPs - 10.0.10.0/24",
                                   "peer south: AllowedIPs + 10.0.10.0/24"));
}

TEST(Difference, OrderIsSaidSoThatUpAndReloadAgree) {
  EXPECT_THAT(Changed([](Tunnel& t) { std::swap(t.peers[0], t.peers[1]); }).lines,
              ElementsAre("peers in another order"));
  Tunnel before = MakeTunnel(), after = MakeTunnel();
  before.peers[0].allowed_ips = {P("10.1.0.0/16"), P("10.2.0.0/16")};
  after.peers[0].allowed_ips = {P("10.2.0.0/16"), P("10.1.0.0/16")};
  EXPECT_THAT(FindDifference(before, after).lines,
              ElementsAre("peer north: AllowedIPs in another order"));
}

// `up` compares with ==, reload with FindDifference: what one calls the same the other must, too.
TEST(Difference, EmptyMeansEqual) {
  std::vector<Change> all = InterfaceChanges();
  for (Change& c : PeerChanges()) all.push_back(std::move(c));
  for (const Change& change : all) {
    Tunnel after = MakeTunnel();
    change.make(after);
    EXPECT_FALSE(MakeTunnel() == after) << change.line;
  }
  EXPECT_TRUE(MakeTunnel() == MakeTunnel());
}

TEST(Difference, NoSecretShows) {
  const Difference d = Changed([](Tunnel& t) {
    t.private_key = Secret<32>::FromSpan(Octets(0x61));  // "adgj..." as text
    t.peers[0].preshared_key = Secret<32>::FromSpan(Octets(0x61));
    t.peers[2].shared_key = SecretBytes::FromSpan(Octets(0x61));
  });
  for (const std::string& line : d.lines) EXPECT_THAT(line, Not(HasSubstr("adgj")));
  EXPECT_THAT(d.lines, SizeIs(4));  // the shared key is another peer: removed and added
}

TEST(Difference, Protocol3IsRefusedUnlessUnchanged) {
  Tunnel before = MakeTunnel(), after = MakeTunnel();
  before.classic.emplace();
  after.classic.emplace();
  EXPECT_TRUE(FindDifference(before, after).empty());
  after.classic->mtu = 1300;
  EXPECT_THAT(FindDifference(before, after).refused, SizeIs(1));
  EXPECT_THAT(FindDifference(before, MakeTunnel()).refused, SizeIs(1));
}

TEST(Difference, TenThousandPeersTakeNoTime) {
  Tunnel before, after;
  for (uint32_t i = 0; i < 10000; ++i) {
    Peer peer;
    peer.name = absl::StrCat("p", i);
    if (i % 2 == 0) {
      peer.public_key = {static_cast<uint8_t>(i), static_cast<uint8_t>(i >> 8), 1};
    } else {
      SecretBytes key(32);
      key.UnsafeMutableBytes()[0] = static_cast<uint8_t>(i);
      key.UnsafeMutableBytes()[1] = static_cast<uint8_t>(i >> 8);
      peer.auth = Auth::kSharedKey;
      peer.shared_key = std::move(key);
    }
    if (i != 5000) before.peers.push_back(peer.Clone());
    if (i != 7001) after.peers.push_back(std::move(peer));
  }
  const Difference d = FindDifference(before, after);
  EXPECT_THAT(d.lines, ElementsAre("peer p7001: removed", "peer p5000: added, AllowedIPs none"));
  EXPECT_THAT(d.kept, SizeIs(9998));
}

}  // namespace
}  // namespace cipe::config
