// Links, addresses and changes, against the real kernel.
#include "kernel_fixture.h"

namespace cipe::netlink {
namespace {

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
