// Routes and lookups, against the real kernel.
#include "kernel_fixture.h"

namespace cipe::netlink {
namespace {

void ExpectRouteRoundTrip(Socket* socket, Route route, Route other_table) {
  const absl::Status added = AddRoute(socket, route);
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_TRUE(absl::IsAlreadyExists(AddRoute(socket, route)));
  ASSERT_TRUE(AddRoute(socket, other_table).ok());
  RouteFilter ours;
  ours.protocol = kRouteProtocol;
  ours.family = route.destination.address.family;
  auto list = ListRoutes(socket, ours);
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->size(), 2u);
  ours.table = other_table.table;
  list = ListRoutes(socket, ours);
  ASSERT_EQ(list->size(), 1u);
  const Route& back = list->front();
  EXPECT_EQ(back.destination, other_table.destination);
  EXPECT_EQ(back.ifindex, other_table.ifindex);
  EXPECT_EQ(back.gateway, other_table.gateway);
  EXPECT_EQ(back.metric, other_table.metric);
  EXPECT_EQ(back.mtu, other_table.mtu);
  EXPECT_EQ(back.preferred_source, other_table.preferred_source);
  EXPECT_TRUE(RemoveRoute(socket, route).ok());
  EXPECT_TRUE(RemoveRoute(socket, other_table).ok());
  EXPECT_TRUE(absl::IsNotFound(RemoveRoute(socket, route)));
  EXPECT_TRUE(ListRoutes(socket, ours)->empty());
}

TEST_F(KernelTest, RoutesIpv4) {
  Route route;
  route.destination = Prefix("10.20.0.7/16");  // host bits are masked
  route.ifindex = a_;
  Route other = route;
  other.destination = Prefix("10.30.0.0/16");
  other.gateway = Ip("10.1.0.2");
  other.table = 1000;
  other.metric = 77;
  other.mtu = 1400;
  other.preferred_source = Ip("10.1.0.1");
  ExpectRouteRoundTrip(&socket_, route, other);
}

TEST_F(KernelTest, RoutesIpv6) {
  Route route;
  route.destination = Prefix("fd00:20::/48");
  route.ifindex = a_;
  Route other = route;
  other.destination = Prefix("fd00:30::/48");
  other.gateway = Ip("fd00:1::2");
  other.table = 1000;
  other.metric = 77;
  other.mtu = 1400;
  other.preferred_source = Ip("fd00:1::1");
  ExpectRouteRoundTrip(&socket_, route, other);
}

TEST_F(KernelTest, Ipv4RouteThroughIpv6Gateway) {
  Route route;
  route.destination = Prefix("10.40.0.0/16");
  route.ifindex = a_;
  route.gateway = Ip("fd00:1::2");
  const absl::Status s = AddRoute(&socket_, route);
  ASSERT_TRUE(s.ok()) << s;
  EXPECT_EQ(LookupRoute(&socket_, Ip("10.40.1.1"))->gateway, Ip("fd00:1::2"));
}

TEST_F(KernelTest, SomebodyElsesRouteIsNeitherReplacedNorRemoved) {
  Route theirs;
  theirs.destination = Prefix("10.20.0.0/16");
  theirs.ifindex = b_;
  theirs.protocol = RTPROT_STATIC;
  ASSERT_TRUE(AddRoute(&socket_, theirs).ok());
  Route ours = theirs;
  ours.protocol = kRouteProtocol;
  ours.ifindex = a_;
  EXPECT_TRUE(absl::IsAlreadyExists(AddRoute(&socket_, ours)));
  EXPECT_TRUE(absl::IsNotFound(RemoveRoute(&socket_, ours)));
  EXPECT_EQ(LookupRoute(&socket_, Ip("10.20.1.1"))->ifindex, b_);
}

TEST_F(KernelTest, LookupsOnLinkThroughGatewayAndLocal) {
  const auto on_link = LookupRoute(&socket_, Ip("10.1.0.2"));
  ASSERT_TRUE(on_link.ok()) << on_link.status();
  EXPECT_EQ(on_link->ifindex, a_);
  EXPECT_EQ(on_link->gateway, std::nullopt);
  EXPECT_EQ(on_link->preferred_source, Ip("10.1.0.1"));
  EXPECT_FALSE(on_link->local);

  Route route;
  route.destination = Prefix("0.0.0.0/0");
  route.ifindex = a_;
  route.gateway = Ip("10.1.0.2");
  route.mtu = 1380;
  ASSERT_TRUE(AddRoute(&socket_, route).ok());
  const auto far = LookupRoute(&socket_, Ip("198.51.100.1"));
  ASSERT_TRUE(far.ok()) << far.status();
  EXPECT_EQ(far->gateway, Ip("10.1.0.2"));
  EXPECT_EQ(far->mtu, 1380u);
  EXPECT_TRUE(LookupRoute(&socket_, Ip("10.1.0.1"))->local);
  EXPECT_TRUE(LookupRoute(&socket_, Ip("fd00:1::1"))->local);
  EXPECT_EQ(LookupRoute(&socket_, Ip("fd00:1::99"))->preferred_source, Ip("fd00:1::1"));
  EXPECT_EQ(DefaultRoute(&socket_, Family::kIpv4)->ifindex, a_);
  EXPECT_TRUE(absl::IsNotFound(DefaultRoute(&socket_, Family::kIpv6).status()));
}

TEST_F(KernelTest, NoRouteAndRejectRouteAreUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(LookupRoute(&socket_, Ip("198.51.100.1")).status()));
  EXPECT_TRUE(absl::IsUnavailable(LookupRoute(&socket_, Ip("2001:db8::1")).status()));
  for (const char* prefix : {"10.99.0.0/16", "fd00:99::/48"}) {
    Route reject;
    reject.destination = Prefix(prefix);
    reject.type = RTN_UNREACHABLE;
    const absl::Status s = AddRoute(&socket_, reject);
    ASSERT_TRUE(s.ok()) << s;
    const auto looked = LookupRoute(&socket_, Prefix(prefix).address);
    EXPECT_TRUE(absl::IsUnavailable(looked.status())) << looked.status();
    EXPECT_TRUE(RemoveRoute(&socket_, reject).ok());
  }
}

TEST_F(KernelTest, DefaultRouteWithTheLowestMetricWins) {
  ASSERT_TRUE(AddAddress(&socket_, b_, Prefix("10.2.0.1/24")).ok());
  Route worse;
  worse.destination = Prefix("0.0.0.0/0");
  worse.ifindex = a_;
  worse.metric = 200;
  Route better = worse;
  better.ifindex = b_;
  better.metric = 100;
  ASSERT_TRUE(AddRoute(&socket_, worse).ok());
  ASSERT_TRUE(AddRoute(&socket_, better).ok());
  EXPECT_EQ(DefaultRoute(&socket_, Family::kIpv4)->ifindex, b_);
}

TEST_F(KernelTest, MarkChoosesTheTable) {
  Route marked;
  marked.destination = Prefix("0.0.0.0/0");
  marked.ifindex = b_;
  marked.table = 1234;
  ASSERT_TRUE(AddRoute(&socket_, marked).ok());
  Message rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
  rtmsg header{};  // same layout as fib_rule_hdr: family first, table and action in their places
  header.rtm_family = AF_INET;
  header.rtm_type = 1;  // FR_ACT_TO_TBL
  rule.PutHeader(header);
  rule.PutU32(15, 1234);  // FRA_TABLE
  rule.PutU32(10, 0x51);  // FRA_FWMARK
  const absl::Status s = socket_.Request(&rule, "add rule");
  ASSERT_TRUE(s.ok()) << s;
  EXPECT_EQ(LookupRoute(&socket_, Ip("198.51.100.1"), 0x51)->ifindex, b_);
  EXPECT_TRUE(absl::IsUnavailable(LookupRoute(&socket_, Ip("198.51.100.1")).status()));
}

TEST_F(KernelTest, NextHopHasSourceMacAndMtu) {
  const MacAddress mac{2, 0, 0, 0, 0, 2};
  EXPECT_EQ(ResolveNextHop(&socket_, Ip("10.1.0.2"))->mac, std::nullopt);
  for (const auto& [gateway, far, any] : {std::tuple{"10.1.0.2", "198.51.100.1", "0.0.0.0/0"},
                                          std::tuple{"fd00:1::2", "2001:db8::1", "::/0"}}) {
    ASSERT_TRUE(AddNeighbour(&socket_, a_, gateway, mac).ok());
    Route route;
    route.destination = Prefix(any);
    route.ifindex = a_;
    route.gateway = Ip(gateway);
    ASSERT_TRUE(AddRoute(&socket_, route).ok());
    const auto hop = ResolveNextHop(&socket_, Ip(far));
    ASSERT_TRUE(hop.ok()) << hop.status();
    EXPECT_EQ(hop->ifindex, a_);
    EXPECT_EQ(hop->next_hop, Ip(gateway));
    EXPECT_EQ(hop->mac, mac);
    EXPECT_EQ(hop->mtu, 1500u);
    EXPECT_EQ(hop->source, Ip(Ip(far).is_v4() ? "10.1.0.1" : "fd00:1::1"));
    EXPECT_FALSE(hop->local);
  }
  EXPECT_TRUE(ResolveNextHop(&socket_, Ip("10.1.0.1"))->local);
}

}  // namespace
}  // namespace cipe::netlink
