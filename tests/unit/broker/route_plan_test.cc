#include "broker/route_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>

#include "broker/lasting_routes.h"

namespace cipe::broker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr OwnTable kOwn{20500, 20500};

config::Tunnel Sample(std::vector<std::string> addresses, std::vector<std::string> allowed,
                      const std::string& endpoint = "") {
  config::Tunnel t;
  t.name = "site";
  t.path = "/etc/cipe/site.conf";
  for (const auto& a : addresses) t.addresses.push_back(*IpPrefix::Parse(a));
  t.peers.emplace_back().name = "peer";
  for (const auto& a : allowed) t.peers[0].allowed_ips.push_back(*IpPrefix::Parse(a));
  if (!endpoint.empty()) t.peers[0].endpoints = {{endpoint, 6789}};
  return t;
}

std::vector<std::string> Routes(const config::Tunnel& t, std::vector<IpAddress> endpoints = {}) {
  std::vector<std::string> lines;
  const auto plan = PlanRoutes(t, endpoints, kOwn);
  EXPECT_TRUE(plan.ok()) << plan.status();
  for (const PlannedRoute& r : plan->routes) lines.push_back(r.ToString());
  return lines;
}

std::vector<std::string> Rules(const config::Tunnel& t, std::vector<IpAddress> endpoints = {}) {
  std::vector<std::string> lines;
  const auto plan = PlanRoutes(t, endpoints, kOwn);
  for (const netlink::Rule& r : plan->rules) lines.push_back(r.ToString());
  return lines;
}

TEST(PlanRoutes, OnceEachAndNotWhatTheAddressesCover) {
  const config::Tunnel t =
      Sample({"10.9.0.2/24"}, {"10.9.0.0/24", "10.9.0.1/32", "10.0.1.0/24", "fd00::/64"});
  EXPECT_THAT(Routes(t), ElementsAre("10.0.1.0/24", "10.9.0.1/32", "fd00::/64"));
  EXPECT_THAT(Rules(t), IsEmpty());
  EXPECT_FALSE(NeedsOwnTable(t, {}));
}

TEST(PlanRoutes, TableAndMetric) {
  config::Tunnel t = Sample({"10.9.0.2/24"}, {"10.9.0.0/24", "0.0.0.0/0", "fd00::/64"});
  t.table = config::TableChoice::kNumber;
  t.table_number = 7;
  t.metric = 9;
  EXPECT_THAT(Routes(t), ElementsAre("0.0.0.0/0 table 7 metric 9", "10.9.0.0/24 table 7 metric 9",
                                     "fd00::/64 table 7 metric 9"));
  EXPECT_THAT(Rules(t), IsEmpty()) << "rules for a table of his own are the administrator's";
  EXPECT_FALSE(NeedsOwnTable(t, {}));
  t.table = config::TableChoice::kOff;
  EXPECT_THAT(Routes(t), IsEmpty());
  EXPECT_THAT(PlanRoutes(t, {}, {})->addresses, ElementsAre(*IpPrefix::Parse("10.9.0.2/24")));
}

TEST(PlanRoutes, ADefaultRouteGetsATableAndRulesOfItsFamily) {
  const config::Tunnel t = Sample({"10.9.0.2/32"}, {"0.0.0.0/0", "10.0.1.0/24"}, "192.0.2.1");
  EXPECT_TRUE(NeedsOwnTable(t, {}));
  EXPECT_THAT(Routes(t), ElementsAre("0.0.0.0/0 table 20500", "10.0.1.0/24"));
  EXPECT_THAT(Rules(t), ElementsAre("priority 20754 lookup main suppress_prefixlength 0",
                                    "priority 20755 not fwmark 0x5014 lookup 20500"));
}

TEST(PlanRoutes, HalvesAndPrefixesAroundTheEndpointToo) {
  const config::Tunnel halves = Sample({}, {"0.0.0.0/1", "128.0.0.0/1"}, "192.0.2.1");
  EXPECT_THAT(Routes(halves), ElementsAre("0.0.0.0/1", "128.0.0.0/1 table 20500"));
  EXPECT_THAT(Rules(halves), ElementsAre("priority 20754 lookup main suppress_prefixlength 0",
                                         "priority 20755 not fwmark 0x5014 lookup 20500"));
  const config::Tunnel inside = Sample({}, {"192.0.2.0/24", "10.0.0.0/8"}, "192.0.2.1");
  EXPECT_THAT(Routes(inside), ElementsAre("10.0.0.0/8", "192.0.2.0/24 table 20500"));
  EXPECT_THAT(Rules(inside), ElementsAre("priority 20708 lookup main suppress_prefixlength 23",
                                         "priority 20709 not fwmark 0x5014 lookup 20500"));
  // Learned later, as a name resolves.
  const config::Tunnel named = Sample({}, {"192.0.2.0/24", "2001:db8::/32"}, "vpn.example.org");
  EXPECT_FALSE(NeedsOwnTable(named, {*IpAddress::Parse("198.51.100.1")}));
  EXPECT_TRUE(NeedsOwnTable(named, {*IpAddress::Parse("2001:db8::1")}));
  EXPECT_THAT(Routes(named, {*IpAddress::Parse("2001:db8::1")}),
              ElementsAre("192.0.2.0/24", "2001:db8::/32 table 20500"));
}

TEST(PlanRoutes, TheLongestPrefixWinsAcrossTables) {
  const config::Tunnel t = Sample({}, {"0.0.0.0/0", "192.0.2.1/32"}, "192.0.2.1");
  EXPECT_THAT(Rules(t),
              ElementsAre("priority 20692 lookup main suppress_prefixlength 31",
                          "priority 20693 not fwmark 0x5014 lookup 20500 suppress_prefixlength 31",
                          "priority 20754 lookup main suppress_prefixlength 0",
                          "priority 20755 not fwmark 0x5014 lookup 20500"));
}

TEST(PlanRoutes, RejectsForAllThatIsPrivate) {
  config::Tunnel t = Sample({"10.9.0.2/24", "fd09::2/128"}, {"10.0.1.0/24", "::/0"});
  t.reject_when_down = true;
  t.metric = 5;
  EXPECT_THAT(Routes(t),
              ElementsAre("10.0.1.0/24 metric 5", "unreachable 10.0.1.0/24 metric 4294967295",
                          "unreachable 10.9.0.0/24 metric 4294967295", "::/0 table 20500 metric 5",
                          "unreachable ::/0 table 20500 metric 4294967295"));
  t.table = config::TableChoice::kOff;
  const auto refused = PlanRoutes(t, {}, {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              testing::AllOf(HasSubstr("/etc/cipe/site.conf"), HasSubstr("Table = auto")));
}

TEST(PlanRoutes, Protocol3HasItsPointToPointAddressAlone) {
  config::Tunnel t = Sample({}, {"0.0.0.0/0"});
  t.classic.emplace();
  EXPECT_FALSE(NeedsOwnTable(t, {}));
  EXPECT_EQ(*PlanRoutes(t, {}, {}), RoutePlan());
}

TEST(DescribeDifference, SaysWhatToDo) {
  const auto from = PlanRoutes(Sample({"10.9.0.2/32"}, {"10.0.1.0/24", "10.0.2.0/24"}), {}, {});
  config::Tunnel changed = Sample({"10.9.0.3/32"}, {"10.0.2.0/24", "0.0.0.0/0"});
  changed.reject_when_down = true;
  EXPECT_THAT(DescribeDifference(*from, *from), IsEmpty());
  EXPECT_THAT(
      DescribeDifference(*from, *PlanRoutes(changed, {}, kOwn)),
      ElementsAre("+ address 10.9.0.3/32", "- address 10.9.0.2/32", "+ route 0.0.0.0/0 table 20500",
                  "+ route unreachable 0.0.0.0/0 table 20500 metric 4294967295",
                  "+ route unreachable 10.0.2.0/24 metric 4294967295", "- route 10.0.1.0/24",
                  "+ rule priority 20754 lookup main suppress_prefixlength 0",
                  "+ rule priority 20755 not fwmark 0x5014 lookup 20500"));
}

TEST(LastingRoutes, ComeBackFromText) {
  config::Tunnel t =
      Sample({"10.9.0.2/32"}, {"10.0.1.0/24", "0.0.0.0/0", "::/0", "1.2.3.4/32"}, "1.2.3.4");
  t.reject_when_down = true;
  LastingRoutes all;
  const auto plan = PlanRoutes(t, {}, kOwn);
  for (const PlannedRoute& r : plan->routes) {
    if (r.reject) all["site"].rejects.insert(r);
  }
  all["other-1"].rules.insert(plan->rules.begin(), plan->rules.end());
  EXPECT_EQ(ParseLasting(FormatLasting(all)), all);
  EXPECT_EQ(ParseLasting({}), LastingRoutes());
}

TEST(LastingRoutes, AnythingElseIsRefusedWhole) {
  const std::string good = "reject site 10.0.0.0/8 254 4294967295";
  ASSERT_TRUE(ParseLasting({good}).has_value());
  for (const char* bad :
       {"reject site 10.0.0.0/8 254", "reject ../x 10.0.0.0/8 254 1", "reject site 10.0.0 254 1",
        "reject site 10.0.0.0/8 -1 1", "reject site 10.0.0.0/8 254 1 more", "route", "",
        "rule site 5 1 2 3 4 not -1", "rule site 4 1 2 3 4 maybe -1", "rule site 4 1 2 3 4 not",
        "rule site 4 x 2 3 4 is -1"}) {
    EXPECT_FALSE(ParseLasting({good, bad}).has_value()) << bad;
  }
}

TEST(ForgetUnusedEndpoints, NamesWithOtherAddressesEachTimeDoNotGrowForEver) {
  std::vector<ipc::PeerSetup> peers(2);
  peers[0].endpoint = {*IpAddress::Parse("192.0.2.1"), 6789};
  std::vector<IpAddress> around = {peers[0].endpoint.address};
  IpAddress last;
  for (uint32_t i = 0; i < 100'000; ++i) {
    const uint8_t octets[4] = {10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
                               static_cast<uint8_t>(i)};
    ForgetUnusedEndpoints(&around, peers);
    around.push_back(last = IpAddress::V4(octets));
    ASSERT_LE(around.size(), kMostUnusedEndpoints + peers.size() + 1);
  }
  EXPECT_EQ(around.front(), peers[0].endpoint.address) << "the one in use was forgotten";
  EXPECT_EQ(around.back(), last);
}

}  // namespace
}  // namespace cipe::broker
