// A network namespace of the program's own with a veth pair in it.
#pragma once

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

inline const bool kOwnNamespace = test::Require(test::OwnNetworkNamespace);

inline IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }
inline IpPrefix Prefix(const char* text) { return *IpPrefix::Parse(text); }

inline absl::Status MakeVeth(Socket* socket, const char* name, const char* other) {
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

inline absl::Status AddNeighbour(Socket* socket, int ifindex, const char* address,
                                 const MacAddress& mac) {
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

}  // namespace cipe::netlink
