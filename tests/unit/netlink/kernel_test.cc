// Against the real kernel, in a network namespace of the program's own.
#include <gtest/gtest.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <poll.h>
#include <algorithm>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/monitor.h"
#include "netlink/neighbour.h"
#include "netlink/next_hop.h"
#include "netlink/route.h"
#include "tests/support/require.h"

namespace cipe::netlink {
namespace {

const bool kOwnNamespace = test::Require(test::OwnNetworkNamespace);

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }
IpPrefix Prefix(const char* text) { return *IpPrefix::Parse(text); }

absl::Status MakeVeth(Socket* socket, const char* name, const char* other) {
  Message m(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  m.PutHeader(ifinfomsg{});
  m.PutString(IFLA_IFNAME, name);
  const size_t info = m.NestStart(IFLA_LINKINFO);
  m.PutString(IFLA_INFO_KIND, "veth");
  const size_t data = m.NestStart(IFLA_INFO_DATA);
  // VETH_INFO_PEER: an ifinfomsg, then attributes.
  uint8_t peer[sizeof(ifinfomsg) + sizeof(nlattr) + 16] = {};
  const nlattr name_attribute{sizeof(nlattr) + 16, IFLA_IFNAME};
  std::memcpy(peer + sizeof(ifinfomsg), &name_attribute, sizeof name_attribute);
  std::strncpy(reinterpret_cast<char*>(peer + sizeof(ifinfomsg) + sizeof(nlattr)), other, 15);
  m.Put(VETH_INFO_PEER, peer);
  m.NestEnd(data);
  m.NestEnd(info);
  return socket->Request(&m, absl::StrCat("add veth ", name));
}

absl::Status AddNeighbour(Socket* socket, int ifindex, const char* address, const MacAddress& mac) {
  Message m(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  ndmsg header{};
  header.ndm_family = ToAf(Ip(address).family);
  header.ndm_ifindex = ifindex;
  header.ndm_state = NUD_PERMANENT;
  m.PutHeader(header);
  m.PutAddress(NDA_DST, Ip(address));
  m.Put(NDA_LLADDR, mac);
  return socket->Request(&m, absl::StrCat("add neighbour ", address));
}

// A veth pair a/b, both up, a with 10.1.0.1/24 and fd00:1::1/64.
class KernelTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeVeth(&socket_, "a", "b").ok());
    a_ = GetLink(&socket_, "a")->index;
    b_ = GetLink(&socket_, "b")->index;
    ASSERT_TRUE(SetLinkUp(&socket_, a_, true).ok());
    ASSERT_TRUE(SetLinkUp(&socket_, b_, true).ok());
    ASSERT_TRUE(AddAddress(&socket_, a_, Prefix("10.1.0.1/24")).ok());
    ASSERT_TRUE(AddAddress(&socket_, a_, Prefix("fd00:1::1/64")).ok());
    AwaitLocal("fd00:1::1");
  }
  // The kernel makes the local route of an IPv6 address some time after the address.
  void AwaitLocal(const char* address) {
    auto monitor = Monitor::Open();
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    for (int i = 0; i < 500; ++i) {
      const auto route = LookupRoute(&socket_, Ip(address));
      if (route.ok() && route->local) return;
      pollfd change{monitor->fd(), POLLIN, 0};
      poll(&change, 1, 10);
      ASSERT_TRUE(monitor->Drain([](const Event&) {}).ok());
    }
    FAIL() << address << " has no local route after 5 s";
  }
  void TearDown() override {
    if (auto link = GetLink(&socket_, "a"); link.ok()) {
      EXPECT_TRUE(DeleteLink(&socket_, link->index).ok());
    }
    EXPECT_TRUE(absl::IsNotFound(GetLink(&socket_, "b").status())) << "the pair goes together";
  }

  Socket socket_ = *Socket::Open();
  int a_ = 0;
  int b_ = 0;
};

TEST_F(KernelTest, LinkProperties) {
  const auto link = GetLink(&socket_, a_);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ(link->name, "a");
  EXPECT_EQ(link->kind, "veth");
  EXPECT_EQ(link->parent, b_);
  EXPECT_TRUE(link->up);
  EXPECT_TRUE(link->lower_up);
  EXPECT_TRUE(link->mac.has_value());
  EXPECT_EQ(link->mtu, 1500u);
  EXPECT_EQ(link->master, 0);
  EXPECT_EQ(link->xdp_program_id, 0u);
  EXPECT_GE(link->rx_queues, 1u);
  ASSERT_TRUE(SetLinkUp(&socket_, b_, false).ok());
  EXPECT_TRUE(GetLink(&socket_, a_)->up);
  EXPECT_FALSE(GetLink(&socket_, a_)->lower_up) << "the other end is down";
  EXPECT_FALSE(GetLink(&socket_, b_)->up);
}

TEST_F(KernelTest, ListsLinksWithLoopback) {
  const auto links = ListLinks(&socket_);
  ASSERT_TRUE(links.ok()) << links.status();
  ASSERT_EQ(links->size(), 3u);
  int loopbacks = 0;
  for (const Link& l : *links) loopbacks += l.loopback;
  EXPECT_EQ(loopbacks, 1);
}

TEST_F(KernelTest, MtuAndItsLimits) {
  ASSERT_TRUE(SetLinkMtu(&socket_, a_, 9000).ok());
  EXPECT_EQ(GetLink(&socket_, a_)->mtu, 9000u);
  const absl::Status s = SetLinkMtu(&socket_, a_, 10);
  EXPECT_EQ(s.code(), absl::StatusCode::kInvalidArgument) << s;
  EXPECT_NE(s.message().find("mtu less than device minimum"), absl::string_view::npos)
      << "the kernel's own words are missing: " << s;
  EXPECT_EQ(GetLink(&socket_, a_)->mtu, 9000u);
}

TEST_F(KernelTest, GsoMaxSize) {
  const absl::Status s = SetLinkGsoMaxSize(&socket_, a_, 32768);
  if (absl::IsUnimplemented(s)) GTEST_SKIP() << "needs kernel: " << s.message();
  ASSERT_TRUE(s.ok()) << s;
  EXPECT_EQ(GetLink(&socket_, a_)->gso_max_size, 32768u);
}

TEST_F(KernelTest, MissingLinksAreNamed) {
  const auto s = GetLink(&socket_, "nothere").status();
  EXPECT_TRUE(absl::IsNotFound(s)) << s;
  EXPECT_NE(s.message().find("'nothere'"), absl::string_view::npos);
  EXPECT_TRUE(absl::IsNotFound(GetLink(&socket_, 99999).status()));
  EXPECT_TRUE(absl::IsNotFound(GetLink(&socket_, "").status()));
  EXPECT_TRUE(absl::IsNotFound(GetLink(&socket_, "name-of-sixteen-x").status()));
  EXPECT_TRUE(absl::IsNotFound(DeleteLink(&socket_, 0)));
  EXPECT_TRUE(absl::IsNotFound(DeleteLink(&socket_, 99999)));
}

TEST_F(KernelTest, Addresses) {
  const auto list = ListAddresses(&socket_, a_);
  ASSERT_TRUE(list.ok()) << list.status();
  bool v4 = false, v6 = false;
  for (const InterfaceAddress& a : *list) {
    EXPECT_EQ(a.ifindex, a_);
    v4 |= a.prefix == Prefix("10.1.0.1/24");
    const bool ours = a.prefix == Prefix("fd00:1::1/64");
    v6 |= ours;
    if (ours) {
      EXPECT_FALSE(a.flags & IFA_F_TENTATIVE) << "usable at once";
    }
  }
  EXPECT_TRUE(v4 && v6);
  EXPECT_TRUE(absl::IsAlreadyExists(AddAddress(&socket_, a_, Prefix("10.1.0.1/24"))));
  EXPECT_TRUE(absl::IsNotFound(RemoveAddress(&socket_, a_, Prefix("10.1.0.9/24"))));
  EXPECT_TRUE(AddAddress(&socket_, 99999, Prefix("10.5.0.1/24")).code() ==
              absl::StatusCode::kNotFound);
  ASSERT_TRUE(RemoveAddress(&socket_, a_, Prefix("10.1.0.1/24")).ok());
  EXPECT_EQ(*FindAddress(&socket_, Ip("10.1.0.1")), std::nullopt);
}

TEST_F(KernelTest, PointToPointAddressBringsItsRoute) {
  ASSERT_TRUE(AddPointToPoint(&socket_, b_, Ip("10.3.0.1"), Ip("10.9.9.9"), 77).ok());
  const auto list = ListAddresses(&socket_, b_);
  ASSERT_TRUE(list.ok()) << list.status();
  const auto pair = std::find_if(list->begin(), list->end(), [](const InterfaceAddress& a) {
    return a.prefix.address == Ip("10.3.0.1");
  });
  ASSERT_NE(pair, list->end());
  EXPECT_EQ(pair->peer, Ip("10.9.9.9"));
  const auto route = LookupRoute(&socket_, Ip("10.9.9.9"));
  ASSERT_TRUE(route.ok()) << route.status();
  EXPECT_EQ(route->ifindex, b_);
  EXPECT_EQ(route->preferred_source, Ip("10.3.0.1"));
  RouteFilter filter;
  filter.ifindex = b_;
  filter.family = Family::kIpv4;
  filter.table = RT_TABLE_MAIN;
  const auto routes = ListRoutes(&socket_, filter);
  ASSERT_TRUE(routes.ok());
  ASSERT_EQ(routes->size(), 1u);
  EXPECT_EQ(routes->front().metric, 77u);
  // The same own address with another peer, then the first one goes.
  EXPECT_TRUE(
      absl::IsAlreadyExists(AddPointToPoint(&socket_, b_, Ip("10.3.0.1"), Ip("10.9.9.9"), 0)));
  ASSERT_TRUE(AddPointToPoint(&socket_, b_, Ip("10.3.0.1"), Ip("10.9.9.8"), 0).ok());
  ASSERT_TRUE(RemovePointToPoint(&socket_, b_, Ip("10.3.0.1"), Ip("10.9.9.9")).ok());
  EXPECT_FALSE(LookupRoute(&socket_, Ip("10.9.9.9")).ok());
  EXPECT_EQ(LookupRoute(&socket_, Ip("10.9.9.8"))->ifindex, b_);
  EXPECT_TRUE(absl::IsNotFound(RemovePointToPoint(&socket_, b_, Ip("10.3.0.1"), Ip("10.9.9.9"))));
  // Our own /32, as it stands before the other end is known, goes the same way.
  ASSERT_TRUE(AddAddress(&socket_, b_, Prefix("10.3.0.2/32")).ok());
  ASSERT_TRUE(RemovePointToPoint(&socket_, b_, Ip("10.3.0.2"), Ip("10.3.0.2")).ok());
  EXPECT_FALSE(AddPointToPoint(&socket_, b_, Ip("::1"), Ip("10.9.9.9"), 0).ok());
}

TEST_F(KernelTest, FindAddressTellsTheInterface) {
  EXPECT_EQ(*FindAddress(&socket_, Ip("10.1.0.1")), a_);
  EXPECT_EQ(*FindAddress(&socket_, Ip("fd00:1::1")), a_);
  EXPECT_EQ(*FindAddress(&socket_, Ip("10.1.0.1"), a_), std::nullopt);
  EXPECT_EQ(*FindAddress(&socket_, Ip("10.1.0.2")), std::nullopt);
  ASSERT_TRUE(AddAddress(&socket_, b_, Prefix("10.1.0.1/32")).ok()) << "the kernel allows it";
  EXPECT_EQ(*FindAddress(&socket_, Ip("10.1.0.1"), a_), b_);
}

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

TEST_F(KernelTest, Neighbours) {
  const MacAddress mac{2, 0, 0, 0, 0, 3};
  EXPECT_EQ(*FindNeighbour(&socket_, a_, Ip("10.1.0.3")), std::nullopt);
  ASSERT_TRUE(AddNeighbour(&socket_, a_, "10.1.0.3", mac).ok());
  const auto found = FindNeighbour(&socket_, a_, Ip("10.1.0.3"));
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->mac, mac);
  EXPECT_TRUE((*found)->usable());
  int seen = 0;
  const auto listed = ListNeighbours(&socket_, a_);
  ASSERT_TRUE(listed.ok()) << listed.status();
  for (const Neighbour& n : *listed) seen += n.address == Ip("10.1.0.3");
  EXPECT_EQ(seen, 1);
}

// Everything that is queued within `ms` of quiet.
std::vector<Event> Collect(Monitor* monitor, int ms = 100) {
  std::vector<Event> events;
  pollfd p{monitor->fd(), POLLIN, 0};
  while (poll(&p, 1, ms) > 0) {
    const absl::Status s = monitor->Drain([&](const Event& e) { events.push_back(e); });
    EXPECT_TRUE(s.ok()) << s;
    if (!s.ok()) break;
  }
  return events;
}

template <typename T, typename Match>
int Count(const std::vector<Event>& events, Match match) {
  int n = 0;
  for (const Event& e : events) {
    if (const T* t = std::get_if<T>(&e); t != nullptr && match(*t)) ++n;
  }
  return n;
}

TEST_F(KernelTest, MonitorReportsEveryKindOfChange) {
  auto monitor = Monitor::Open();
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  Collect(&*monitor, 50);  // what SetUp left (IPv6 settling)
  ASSERT_TRUE(SetLinkMtu(&socket_, a_, 1400).ok());
  ASSERT_TRUE(AddAddress(&socket_, b_, Prefix("10.7.0.1/24")).ok());
  ASSERT_TRUE(AddAddress(&socket_, b_, Prefix("fd00:7::1/64")).ok());
  ASSERT_TRUE(RemoveAddress(&socket_, b_, Prefix("10.7.0.1/24")).ok());
  Route route;
  route.destination = Prefix("10.20.0.0/16");
  route.ifindex = a_;
  ASSERT_TRUE(AddRoute(&socket_, route).ok());
  ASSERT_TRUE(RemoveRoute(&socket_, route).ok());
  ASSERT_TRUE(AddNeighbour(&socket_, a_, "10.1.0.3", {2, 0, 0, 0, 0, 3}).ok());
  const std::vector<Event> events = Collect(&*monitor);

  EXPECT_GE(Count<LinkEvent>(events,
                             [&](const LinkEvent& e) {
                               return !e.removed && e.link.index == a_ && e.link.mtu == 1400;
                             }),
            1);
  for (const bool removed : {false, true}) {
    EXPECT_EQ(Count<AddressEvent>(events,
                                  [&](const AddressEvent& e) {
                                    return e.removed == removed &&
                                           e.address.prefix == Prefix("10.7.0.1/24");
                                  }),
              1);
    EXPECT_EQ(Count<RouteEvent>(events,
                                [&](const RouteEvent& e) {
                                  return e.removed == removed && e.route.protocol == kRouteProtocol;
                                }),
              1);
  }
  EXPECT_GE(Count<AddressEvent>(events,
                                [&](const AddressEvent& e) {
                                  return !e.removed && e.address.prefix == Prefix("fd00:7::1/64");
                                }),
            1);
  EXPECT_GE(Count<NeighbourEvent>(events,
                                  [&](const NeighbourEvent& e) {
                                    return e.neighbour.address == Ip("10.1.0.3") &&
                                           e.neighbour.usable();
                                  }),
            1);
  EXPECT_EQ(Count<Resync>(events, [](const Resync&) { return true; }), 0);

  ASSERT_TRUE(DeleteLink(&socket_, a_).ok());
  EXPECT_EQ(Count<LinkEvent>(Collect(&*monitor),
                             [&](const LinkEvent& e) { return e.removed && e.link.index == a_; }),
            1);
}

TEST_F(KernelTest, MonitorReportsLostEventsAsResync) {
  auto monitor = Monitor::Open();
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  const int tiny = 1;  // the kernel makes it its minimum
  ASSERT_EQ(setsockopt(monitor->fd(), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny), 0);
  for (uint32_t mtu = 1300; mtu < 1400; ++mtu) ASSERT_TRUE(SetLinkMtu(&socket_, a_, mtu).ok());
  const std::vector<Event> events = Collect(&*monitor);
  EXPECT_GE(Count<Resync>(events, [](const Resync&) { return true; }), 1);
  // And it goes on afterwards.
  ASSERT_TRUE(SetLinkMtu(&socket_, a_, 1450).ok());
  EXPECT_GE(
      Count<LinkEvent>(Collect(&*monitor), [&](const LinkEvent& e) { return e.link.mtu == 1450; }),
      1);
}

TEST_F(KernelTest, ADumpOfManyRoutesIsComplete) {
  constexpr int kRoutes = 3000;  // several datagrams
  for (int i = 0; i < kRoutes; ++i) {
    Route route;
    route.destination = Prefix(absl::StrCat("10.", 100 + i / 256, ".", i % 256, ".0/24").c_str());
    route.ifindex = a_;
    ASSERT_TRUE(AddRoute(&socket_, route).ok());
  }
  RouteFilter ours;
  ours.protocol = kRouteProtocol;
  ours.ifindex = a_;
  EXPECT_EQ(ListRoutes(&socket_, ours)->size(), static_cast<size_t>(kRoutes));
  ours.ifindex = b_;
  EXPECT_TRUE(ListRoutes(&socket_, ours)->empty());
}

}  // namespace
}  // namespace cipe::netlink
