// Listeners and next hops against the real kernel, in a namespace of the program's own: a veth pair
// ours/theirs, ours being a carrier with our program on it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "broker/carrier_table.h"
#include "broker/listeners.h"
#include "broker/next_hops.h"
#include "netlink/link.h"
#include "tests/bpf/privilege.h"

namespace cipe::broker {
namespace {

const bool kOwnNamespace = test::Require(test::OwnNetworkNamespace);

const netlink::MacAddress kOurMac{2, 0, 0, 0, 0, 1};
const netlink::MacAddress kTheirMac{2, 0, 0, 0, 0, 2};
const netlink::MacAddress kOtherMac{2, 0, 0, 0, 0, 3};

void Ip(const std::string& words) {
  ASSERT_EQ(system(absl::StrCat("PATH=$PATH:/usr/sbin:/sbin ip ", words).c_str()), 0) << words;
}

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    Ip("link add ours address 02:00:00:00:00:01 type veth peer name theirs");
    Ip("address add 192.0.2.1/24 dev ours");
    Ip("address add 2001:db8::1/64 dev ours nodad");
    Ip("link set ours addrgenmode none up");
    Ip("link set theirs addrgenmode none up");
    auto maps = steering::MapSet::Create();
    ASSERT_TRUE(maps.ok()) << maps.status();
    maps_ = std::make_unique<steering::MapSet>(*std::move(maps));
  }
  void TearDown() override { Ip("link delete ours"); }

  // "address port vlan tunnel flags" of every entry.
  std::set<std::string> Entries() {
    std::set<std::string> all;
    const absl::Status status =
        maps_->listeners().ForEach([&](const cipe_listener_key& key, const cipe_listener& value) {
          const IpAddress address =
              key.family == 4 ? IpAddress::V4(key.address) : IpAddress::V6(key.address);
          all.insert(absl::StrCat(address.ToString(), " ", ntohs(key.port), " ", key.vlan, " ",
                                  value.tunnel, " ", value.flags, " ", int{value.protocol}));
        });
    EXPECT_TRUE(status.ok()) << status;
    return all;
  }

  netlink::Socket socket_ = *netlink::Socket::Open();
  std::unique_ptr<steering::MapSet> maps_;
};

TEST_F(NetworkTest, ListenersFollowAddressesAndTunnels) {
  Listeners listeners(*maps_);
  const Listener one{.tunnel = 7, .port = 6789, .vlans = {0, 100}, .steer = true};
  ASSERT_TRUE(listeners.Sync(&socket_, {one}).ok());
  const auto of = [](const std::vector<std::string>& addresses, const std::string& flags) {
    std::set<std::string> all;
    for (const std::string& a : addresses) {
      for (const char* vlan : {"0", "100"})
        all.insert(absl::StrCat(a, " 6789 ", vlan, " 7 ", flags));
    }
    return all;
  };
  EXPECT_EQ(Entries(), of({"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"}, "1 5"));
  Ip("address add 198.51.100.1/32 dev ours");
  Ip("address delete 2001:db8::1/64 dev ours");
  ASSERT_TRUE(listeners.Sync(&socket_, {one}).ok());
  EXPECT_EQ(Entries(), of({"127.0.0.1", "::1", "192.0.2.1", "198.51.100.1"}, "1 5"));
  Listener unsteered = one;
  unsteered.steer = false;
  ASSERT_TRUE(listeners.Sync(&socket_, {unsteered}).ok());
  EXPECT_EQ(Entries(), of({"127.0.0.1", "::1", "192.0.2.1", "198.51.100.1"}, "0 5"));
  ASSERT_TRUE(listeners.Sync(&socket_, {}).ok());
  EXPECT_TRUE(Entries().empty());
}

TEST_F(NetworkTest, MoreListenersThanTheMapHolds) {
  Listeners listeners(*maps_);
  std::vector<Listener> many;
  for (uint32_t i = 0; i <= CIPE_MAX_LISTENERS / 4; ++i) {
    many.push_back({.tunnel = i, .port = static_cast<uint16_t>(10'000 + i), .vlans = {0}});
  }
  const absl::Status full = listeners.Sync(&socket_, many);
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_THAT(std::string(full.message()), testing::HasSubstr("through the kernel"));
  EXPECT_EQ(Entries().size(), size_t{CIPE_MAX_LISTENERS});
  ASSERT_TRUE(listeners.Sync(&socket_, {}).ok());
  EXPECT_TRUE(Entries().empty()) << "what was written before the error is never deleted";
}

TEST_F(NetworkTest, ATunnelsOwnAddressesAreNoListeners) {
  const int index = netlink::GetLink(&socket_, "ours")->index;
  Listeners listeners(*maps_);
  ASSERT_TRUE(
      listeners
          .Sync(&socket_, {{.tunnel = 1, .port = 1000, .vlans = {0}, .tunnel_ifindex = index},
                           {.tunnel = 2, .port = 2000, .vlans = {0}}})
          .ok());
  EXPECT_EQ(Entries(), (std::set<std::string>{"127.0.0.1 1000 0 1 0 5", "::1 1000 0 1 0 5",
                                              "127.0.0.1 2000 0 2 0 5", "::1 2000 0 2 0 5"}));
}

class NextHopTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    Ip("neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ours");
    carriers_ = std::make_unique<CarrierTable>(
        *loop_, *maps_, [](ipc::Message) {}, [](ipc::CarrierId) {});
    hops_ = std::make_unique<NextHops>(&socket_, *carriers_, [this](ipc::Message message) {
      told_.push_back(std::get<ipc::NextHop>(std::move(message)));
    });
  }
  void Carry() {
    const auto link = netlink::GetLink(&socket_, "ours");
    ASSERT_TRUE(link.ok()) << link.status();
    const auto carrier = carriers_->Acquire(*link);
    ASSERT_TRUE(carrier.ok()) << carrier.status();
    id_ = (*carrier)->id();
  }
  // The same, as far as an engine's word for its mappings.
  void CarryMapped() {
    Carry();
    carriers_->OnMapped({id_, absl::OkStatus()});
    ASSERT_TRUE(carriers_->ById(id_)->ready());
  }
  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::unique_ptr<CarrierTable> carriers_;
  std::unique_ptr<NextHops> hops_;
  std::vector<ipc::NextHop> told_;
  ipc::CarrierId id_ = 0;
  const Endpoint near_ = *Endpoint::Parse("192.0.2.2:6789");
};

TEST_F(NextHopTest, NothingGoesOutByACarrierThatIsNotReady) {
  Carry();
  hops_->Want(1, 0, near_);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_FALSE(told_[0].usable);
  carriers_->OnMapped({id_, absl::OkStatus()});
  hops_->Refresh();
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_TRUE(told_[1].usable);
  EXPECT_EQ(told_[1].carrier, id_);
}

TEST_F(NextHopTest, SaysWhereFramesGoAndWhenThatChanges) {
  CarryMapped();
  hops_->Want(1, 0, near_);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(told_[0].usable);
  EXPECT_EQ(told_[0].endpoint, near_);
  EXPECT_EQ(told_[0].carrier, id_);
  EXPECT_EQ(told_[0].local.ToString(), "192.0.2.1");
  EXPECT_EQ(told_[0].source_mac, kOurMac);
  EXPECT_EQ(told_[0].destination_mac, kTheirMac);
  hops_->Refresh();
  EXPECT_EQ(told_.size(), 1u) << "nothing changed";
  Ip("neighbour change 192.0.2.2 lladdr 02:00:00:00:00:03 dev ours");
  hops_->Refresh();
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].destination_mac, kOtherMac);
  Ip("neighbour delete 192.0.2.2 dev ours");
  hops_->Refresh();
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_FALSE(told_[2].usable);
}

TEST_F(NextHopTest, ThroughAGateway) {
  CarryMapped();
  Ip("route add 203.0.113.0/24 via 192.0.2.2");
  hops_->Want(1, 0, *Endpoint::Parse("203.0.113.9:1"));
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(told_[0].usable);
  EXPECT_EQ(told_[0].destination_mac, kTheirMac);
  Ip("route delete 203.0.113.0/24");
  hops_->Refresh();
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_FALSE(told_[1].usable);
}

TEST_F(NextHopTest, SaysWhatThePathTakes) {
  CarryMapped();
  hops_->Want(1, 0, near_);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].mtu, 1500u);
  Ip("route add 192.0.2.2/32 dev ours mtu 1400");
  hops_->RefreshNarrow();
  EXPECT_EQ(told_.size(), 1u) << "it was not narrow when it was looked at last";
  hops_->Want(1, 0, near_);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1].mtu, 1400u);
  hops_->RefreshNarrow();
  EXPECT_EQ(told_.size(), 2u) << "nothing changed";
  Ip("route delete 192.0.2.2/32");
  hops_->RefreshNarrow();
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_EQ(told_[2].mtu, 1500u);
}

TEST_F(NextHopTest, WithoutRouteCarrierOrNeighbourItIsNotUsable) {
  hops_->Want(1, 0, near_);  // no carrier yet
  CarryMapped();
  for (const char* text : {"203.0.113.1:1", "192.0.2.1:1", "192.0.2.77:1", "[2001:db8::2]:1"}) {
    hops_->Want(1, 0, *Endpoint::Parse(text));
  }
  ASSERT_EQ(told_.size(), 5u);
  for (const ipc::NextHop& hop : told_) EXPECT_FALSE(hop.usable) << hop.endpoint.ToString();
  hops_->Refresh();  // the first one has a carrier now
  ASSERT_EQ(told_.size(), 6u);
  EXPECT_TRUE(told_[5].usable);
}

TEST_F(NextHopTest, AForgottenTunnelIsNotFollowed) {
  CarryMapped();
  hops_->Want(1, 0, near_);
  hops_->Want(2, 0, near_);
  EXPECT_EQ(hops_->size(), 2u);
  hops_->Forget(1);
  EXPECT_EQ(hops_->size(), 1u);
  Ip("neighbour delete 192.0.2.2 dev ours");
  hops_->Refresh();
  EXPECT_EQ(told_.size(), 3u);
  hops_->ForgetAll();
  EXPECT_EQ(hops_->size(), 0u);
}

TEST_F(NextHopTest, CarriersAreSharedAndGoWithTheirLastUser) {
  CarryMapped();
  const auto link = netlink::GetLink(&socket_, "ours");
  EXPECT_NE(link->xdp_program_id, 0u);
  const auto again = carriers_->Acquire(*link);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->id(), id_);
  EXPECT_EQ((*again)->users, 2);
  carriers_->Release(id_);
  EXPECT_NE(carriers_->Find(link->index), nullptr);
  carriers_->Release(id_);
  EXPECT_EQ(carriers_->Find(link->index), nullptr);
  EXPECT_EQ(netlink::GetLink(&socket_, "ours")->xdp_program_id, 0u);
}

}  // namespace
}  // namespace cipe::broker
