#include "broker/tunnel_plan.h"

#include <gtest/gtest.h>

namespace cipe::broker {
namespace {

config::Tunnel Sample(std::vector<std::string> addresses, std::vector<std::string> allowed) {
  config::Tunnel t;
  t.name = "site";
  t.path = "/etc/cipe/site.conf";
  for (const auto& a : addresses) t.addresses.push_back(*IpPrefix::Parse(a));
  t.peers.emplace_back().name = "peer";
  for (const auto& a : allowed) t.peers[0].allowed_ips.push_back(*IpPrefix::Parse(a));
  return t;
}

TEST(TunnelMtu, LeavesRoomForTheOuterHeaders) {
  EXPECT_EQ(TunnelMtu(Sample({"10.0.0.1/24"}, {}), 1500), 1420u);
  EXPECT_EQ(TunnelMtu(Sample({"10.0.0.1/24"}, {}), 0), 1420u);
  EXPECT_EQ(TunnelMtu(Sample({"10.0.0.1/24"}, {}), 1300), 1220u);
  EXPECT_EQ(TunnelMtu(Sample({"fd00::1/64"}, {}), 1300), 1280u);
  EXPECT_EQ(TunnelMtu(Sample({"10.0.0.1/24"}, {"fd00::/64"}), 1300), 1280u);
  EXPECT_EQ(TunnelMtu(Sample({"10.0.0.1/24"}, {}), 65536), 65455u);
  config::Tunnel fixed = Sample({"10.0.0.1/24"}, {});
  fixed.mtu = 1000;
  EXPECT_EQ(TunnelMtu(fixed, 1500), 1000u);
}

TEST(TunnelClone, CopiesSecretsToo) {
  config::Tunnel t = Sample({"10.9.0.2/24"}, {"10.0.0.0/8"});
  t.private_key.emplace();
  t.private_key->UnsafeMutableBytes()[7] = 7;
  t.peers[0].preshared_key.emplace();
  const config::Tunnel copy = t.Clone();
  EXPECT_TRUE(*copy.private_key == *t.private_key);
  EXPECT_TRUE(copy.peers[0].preshared_key.has_value());
  EXPECT_FALSE(copy.peers[0].shared_key.has_value());
  EXPECT_EQ(copy.peers[0].allowed_ips, t.peers[0].allowed_ips);
}

TEST(LinkMtu, IsTheSmallestOfThePeersWithinBounds) {
  config::Tunnel config;
  config.addresses = {*IpPrefix::Parse("10.9.0.1/32")};
  EXPECT_EQ(LinkMtu(config, 1420, 1300), 1300u);
  EXPECT_EQ(LinkMtu(config, 1420, 1500), 1420u);
  EXPECT_EQ(LinkMtu(config, 1420, UINT32_MAX), 1420u) << "nobody has said anything";
  EXPECT_EQ(LinkMtu(config, 1420, 68), 576u);
  EXPECT_EQ(LinkMtu(config, 420, 68), 420u) << "a narrow carrier of our own";
  config.peers.emplace_back().allowed_ips = {*IpPrefix::Parse("fd09::/64")};
  EXPECT_EQ(LinkMtu(config, 1420, 68), 1280u);
  config.mtu = 1400;
  EXPECT_EQ(LinkMtu(config, 1400, 1300), 1400u) << "the administrator has decided";
}

TEST(SameConfig, EveryDifferenceCounts) {
  config::Tunnel one;
  one.name = "site-a";
  one.private_key = Secret<32>();
  one.addresses = {*IpPrefix::Parse("10.9.0.1/32")};
  config::Peer& peer = one.peers.emplace_back();
  peer.name = "site-b";
  peer.preshared_key = Secret<32>();
  peer.endpoints = {{"vpn.example.org", 6789}};
  config::Peer& shared = one.peers.emplace_back();
  shared.auth = config::Auth::kSharedKey;
  shared.shared_key = SecretBytes(16);
  EXPECT_TRUE(one == one.Clone());
  using Change = void (*)(config::Tunnel&);
  const Change changes[] = {
      [](config::Tunnel& t) { t.addresses.push_back(*IpPrefix::Parse("fd09::1/128")); },
      [](config::Tunnel& t) { t.listen_port = 1; },
      [](config::Tunnel& t) { t.datapath = config::Datapath::kSocket; },
      [](config::Tunnel& t) { t.suite = Suite::kChaChaPolyBlake2s; },
      [](config::Tunnel& t) { t.carriers = {"eth0"}; },
      [](config::Tunnel& t) { t.lanes = 2; },
      [](config::Tunnel& t) { t.mtu = 1400; },
      [](config::Tunnel& t) { t.table = config::TableChoice::kOff; },
      [](config::Tunnel& t) { t.table_number = 7; },
      [](config::Tunnel& t) { t.fwmark = 7; },
      [](config::Tunnel& t) { t.rekey_s = 60; },
      [](config::Tunnel& t) { t.metric = 7; },
      [](config::Tunnel& t) { t.reject_when_down = true; },
      [](config::Tunnel& t) { t.mss_clamp = false; },
      [](config::Tunnel& t) { t.dscp = config::DscpChoice::kCopy; },
      [](config::Tunnel& t) { t.hooks.post_up = {"true"}; },
      [](config::Tunnel& t) { t.peers[0].ping_s = 5; },
      [](config::Tunnel& t) { t.peers[0].ping_timeout_s = 5; },
      [](config::Tunnel& t) { t.private_key->UnsafeMutableBytes()[31] = 1; },
      [](config::Tunnel& t) { t.private_key.reset(); },
      [](config::Tunnel& t) { t.peers.pop_back(); },
      [](config::Tunnel& t) { t.peers[0].name = "b"; },
      [](config::Tunnel& t) { t.peers[0].public_key[0] = 1; },
      [](config::Tunnel& t) { t.peers[0].preshared_key->UnsafeMutableBytes()[0] = 1; },
      [](config::Tunnel& t) { t.peers[0].endpoints[0].port = 1; },
      [](config::Tunnel& t) { t.peers[0].endpoints.clear(); },
      [](config::Tunnel& t) { t.peers[0].allowed_ips = {*IpPrefix::Parse("10.0.0.0/8")}; },
      [](config::Tunnel& t) { t.peers[0].persistent_keepalive_s = 25; },
      [](config::Tunnel& t) { t.peers[1].shared_key->UnsafeMutableBytes()[0] = 1; },
  };
  for (size_t i = 0; i < std::size(changes); ++i) {
    config::Tunnel other = one.Clone();
    changes[i](other);
    EXPECT_FALSE(one == other) << "change " << i;
  }
}

}  // namespace
}  // namespace cipe::broker
