// Building and reading rtnetlink messages without a kernel: lengths lie, attributes are cut short.
#include "netlink/message.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/neighbour.h"
#include "netlink/route.h"
#include "netlink/socket.h"

namespace cipe::netlink {
namespace {

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

TEST(Message, AttributesComeBackAsPut) {
  Message m(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg info{};
  info.ifi_index = 7;
  m.PutHeader(info);
  m.PutU8(1, 0xab);
  m.PutU16(2, 0x1234);
  m.PutU32(3, 0xdeadbeef);
  m.PutString(4, "site-a");
  m.PutAddress(5, Ip("192.0.2.1"));
  m.PutAddress(6, Ip("2001:db8::1"));
  const size_t nest = m.NestStart(7);
  m.PutU32(1, 1400);
  m.NestEnd(nest);
  ASSERT_FALSE(m.overflown());
  EXPECT_EQ(m.header()->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);

  absl::Span<const uint8_t> rest;
  const auto back = SplitMessage<ifinfomsg>(*m.header(), &rest);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->ifi_index, 7);
  const Attributes a(rest, 7);
  EXPECT_EQ(a.U8(1), 0xab);
  EXPECT_EQ(a.U16(2), 0x1234);
  EXPECT_EQ(a.U32(3), 0xdeadbeef);
  EXPECT_EQ(a.String(4), "site-a");
  EXPECT_EQ(a.Address(5), Ip("192.0.2.1"));
  EXPECT_EQ(a.Address(6), Ip("2001:db8::1"));
  EXPECT_EQ(a.Nested(7, 1).U32(1), 1400u);
  EXPECT_FALSE(a.Has(0));
  EXPECT_FALSE(a.Has(4000));
  EXPECT_EQ(a.U32(1), std::nullopt) << "one octet is no 32-bit integer";
  EXPECT_EQ(a.Address(4), std::nullopt);
}

TEST(Message, OverflowIsNoticedAndWritesNothingOutside) {
  Message m(RTM_NEWLINK, 0);
  m.PutHeader(ifinfomsg{});
  const std::vector<uint8_t> block(600, 0x55);
  for (int i = 0; i < 3; ++i) m.Put(1, block);
  EXPECT_FALSE(m.overflown());
  m.Put(1, block);
  EXPECT_TRUE(m.overflown());
  m.NestEnd(m.NestStart(2));
  EXPECT_LE(m.bytes().size(), 2048u);
}

TEST(Message, EveryTruncationIsHarmless) {
  Message m(RTM_NEWROUTE, 0);
  rtmsg header{};
  header.rtm_family = AF_INET6;
  header.rtm_dst_len = 64;
  m.PutHeader(header);
  m.PutAddress(RTA_DST, Ip("2001:db8::"));
  const size_t nest = m.NestStart(RTA_METRICS);
  m.PutU32(RTAX_MTU, 1400);
  m.NestEnd(nest);
  const size_t full = m.bytes().size();
  for (size_t size = NLMSG_HDRLEN; size <= full; ++size) {
    // A buffer of the exact size, so that a sanitizer sees a read beyond it.
    std::vector<uint8_t> cut(m.bytes().begin(), m.bytes().begin() + static_cast<long>(size));
    auto* h = reinterpret_cast<nlmsghdr*>(cut.data());
    h->nlmsg_len = static_cast<uint32_t>(size);
    const auto route = ParseRoute(*h);
    EXPECT_EQ(route.has_value(), size >= NLMSG_HDRLEN + sizeof(rtmsg)) << size;
    EXPECT_EQ(route && route->mtu == 1400, size == full) << size;
  }
}

TEST(Message, LyingAttributeLengthsEndTheList) {
  for (const uint16_t lie : {uint16_t{0}, uint16_t{3}, uint16_t{9}, uint16_t{0xffff}}) {
    uint8_t raw[8] = {};
    const nlattr attribute{lie, 1};
    std::memcpy(raw, &attribute, sizeof attribute);
    EXPECT_FALSE(Attributes(raw, 4).Has(1)) << lie;
  }
}

TEST(ParseLink, VlanOnTopOfAnotherDevice) {
  Message m(RTM_NEWLINK, 0);
  ifinfomsg info{};
  info.ifi_index = 9;
  info.ifi_type = ARPHRD_ETHER;
  info.ifi_flags = IFF_UP | IFF_LOWER_UP;
  m.PutHeader(info);
  m.PutString(IFLA_IFNAME, "eth0.42");
  m.PutU32(IFLA_MTU, 1500);
  m.PutU32(IFLA_LINK, 2);
  const uint8_t mac[] = {2, 0, 0, 0, 0, 9};
  m.Put(IFLA_ADDRESS, mac);
  const size_t link_info = m.NestStart(IFLA_LINKINFO);
  m.PutString(IFLA_INFO_KIND, "vlan");
  const size_t data = m.NestStart(IFLA_INFO_DATA);
  m.PutU16(IFLA_VLAN_ID, 42);
  m.PutU16(IFLA_VLAN_PROTOCOL, htons(0x88a8));
  m.NestEnd(data);
  m.NestEnd(link_info);
  const auto link = ParseLink(*m.header());
  ASSERT_TRUE(link);
  EXPECT_EQ(link->name, "eth0.42");
  EXPECT_EQ(link->kind, "vlan");
  EXPECT_EQ(link->vlan_id, 42);
  EXPECT_EQ(link->vlan_protocol, 0x88a8);
  EXPECT_EQ(link->parent, 2);
  EXPECT_TRUE(link->up && link->lower_up);
  EXPECT_EQ(link->mac, (MacAddress{2, 0, 0, 0, 0, 9}));
}

TEST(ParseLink, BridgePortNewsAreNotAboutTheDevice) {
  Message m(RTM_DELLINK, 0);
  ifinfomsg info{};
  info.ifi_family = AF_BRIDGE;
  info.ifi_index = 3;
  m.PutHeader(info);
  EXPECT_FALSE(ParseLink(*m.header()));
}

TEST(ParseAddress, PointToPointKeepsOurOwnEnd) {
  Message m(RTM_NEWADDR, 0);
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = 32;
  header.ifa_index = 4;
  m.PutHeader(header);
  m.PutAddress(IFA_ADDRESS, Ip("10.0.0.2"));
  m.PutAddress(IFA_LOCAL, Ip("10.0.0.1"));
  const auto a = ParseAddress(*m.header());
  ASSERT_TRUE(a);
  EXPECT_EQ(a->prefix.ToString(), "10.0.0.1/32");
  EXPECT_EQ(a->peer, Ip("10.0.0.2"));
}

TEST(ParseAddress, RefusesFamilyAndLengthThatDoNotMatch) {
  for (const bool bad_length : {true, false}) {
    Message m(RTM_NEWADDR, 0);
    ifaddrmsg header{};
    header.ifa_family = bad_length ? AF_INET : AF_INET6;
    header.ifa_prefixlen = bad_length ? 33 : 24;
    m.PutHeader(header);
    m.PutAddress(IFA_ADDRESS, Ip("10.0.0.2"));
    EXPECT_FALSE(ParseAddress(*m.header())) << bad_length;
  }
}

TEST(ParseNeighbour, IncompleteEntryHasNoMac) {
  for (const uint16_t state : {NUD_INCOMPLETE, NUD_FAILED, NUD_STALE}) {
    Message m(RTM_NEWNEIGH, 0);
    ndmsg header{};
    header.ndm_family = AF_INET;
    header.ndm_ifindex = 2;
    header.ndm_state = state;
    m.PutHeader(header);
    m.PutAddress(NDA_DST, Ip("10.0.0.2"));
    const uint8_t mac[6] = {2, 2, 3, 4, 5, 6};
    m.Put(NDA_LLADDR, mac);
    const auto n = ParseNeighbour(*m.header());
    ASSERT_TRUE(n);
    EXPECT_EQ(n->mac.has_value(), state == NUD_STALE) << state;
    EXPECT_EQ(n->usable(), state == NUD_STALE) << state;
  }
}

TEST(ParseRoute, MultipathShowsItsFirstHopAndForeignFamiliesAreSkipped) {
  Message m(RTM_NEWROUTE, 0);
  rtmsg header{};
  header.rtm_family = AF_INET;
  m.PutHeader(header);
  std::vector<uint8_t> hop(sizeof(rtnexthop) + sizeof(nlattr) + 4);
  const rtnexthop fixed{static_cast<uint16_t>(hop.size()), 0, 0, 5};
  std::memcpy(hop.data(), &fixed, sizeof fixed);
  const nlattr gateway{8, RTA_GATEWAY};
  std::memcpy(hop.data() + sizeof fixed, &gateway, sizeof gateway);
  const uint8_t address[] = {192, 0, 2, 1};
  std::memcpy(hop.data() + sizeof fixed + sizeof gateway, address, 4);
  m.Put(RTA_MULTIPATH, hop);
  const auto route = ParseRoute(*m.header());
  ASSERT_TRUE(route);
  EXPECT_EQ(route->ifindex, 5);
  EXPECT_EQ(route->gateway, Ip("192.0.2.1"));
  EXPECT_EQ(route->destination.ToString(), "0.0.0.0/0");

  Message mpls(RTM_NEWROUTE, 0);
  header.rtm_family = 28;  // AF_MPLS
  mpls.PutHeader(header);
  EXPECT_FALSE(ParseRoute(*mpls.header()));
}

TEST(ErrorStatus, NamesTheThingTheCauseAndTheWayOut) {
  const absl::Status s = ErrorStatus(EPERM, "add route 10.0.0.0/8", "no way");
  EXPECT_EQ(s.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(s.message(),
            "add route 10.0.0.0/8: Operation not permitted (no way); this needs root or "
            "CAP_NET_ADMIN");
  EXPECT_TRUE(absl::IsAlreadyExists(ErrorStatus(EEXIST, "x")));
  EXPECT_TRUE(absl::IsNotFound(ErrorStatus(ENODEV, "x")));
  EXPECT_TRUE(absl::IsUnavailable(ErrorStatus(ENETUNREACH, "x")));
}

}  // namespace
}  // namespace cipe::netlink
