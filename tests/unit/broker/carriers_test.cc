// Carriers that go and come, and endpoints that may not be, against the real kernel in a namespace
// of the program's own: veth pairs ours/theirs and side/far.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "broker/datapath.h"
#include "broker/endpoint_check.h"
#include "tests/bpf/privilege.h"
#include "xsk/umem.h"
#include "xsk/xsk_rings.h"

namespace cipe::broker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const bool kOwnNamespace = test::Require(test::OwnNetworkNamespace);

void Ip(const std::string& words) {
  ASSERT_EQ(system(absl::StrCat("PATH=$PATH:/usr/sbin:/sbin ip ", words).c_str()), 0) << words;
}

void Wire(const std::string& one, const std::string& two, const std::string& address) {
  Ip(absl::StrCat("link add ", one, " type veth peer name ", two));
  Ip(absl::StrCat("address add ", address, " dev ", one));
  Ip(absl::StrCat("link set ", one, " addrgenmode none up"));
  Ip(absl::StrCat("link set ", two, " addrgenmode none up"));
}

class CarriersTest : public testing::Test {
 protected:
  void SetUp() override {
    Ip("link set lo up");
    Wire("ours", "theirs", "192.0.2.1/24");
    Wire("side", "far", "198.51.100.1/24");
    Ip("link set side mtu 1400");
    auto maps = steering::MapSet::Create();
    ASSERT_TRUE(maps.ok()) << maps.status();
    maps_ = std::make_unique<steering::MapSet>(*std::move(maps));
    carriers_ = std::make_unique<CarrierTable>(
        *loop_, *maps_, [this](ipc::Message message) { OnMessage(std::move(message)); },
        [this](ipc::CarrierId id) {
          settled_.push_back(id);
          loop_->Stop();
        });
    config_.name = "tun";
    config_.path = "/etc/cipe/tun.conf";
    config_.datapath = config::Datapath::kXdp;
    config_.peers.emplace_back().name = "peer";
  }
  void TearDown() override {
    for (const char* name : {"ours", "side"}) {
      if (netlink::GetLink(&socket_, name).ok()) Ip(absl::StrCat("link delete ", name));
    }
  }
  CarrierPlan Plan(const std::vector<Endpoint>& endpoints,
                   const std::vector<std::string>& before = {}) {
    auto plan = PlanCarriers(&socket_, config_, 0, endpoints, before);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *std::move(plan);
  }
  // Sockets that are offered are kept open, as an engine keeps them.
  void OnMessage(ipc::Message message) {
    if (auto* add = std::get_if<ipc::CarrierAdd>(&message)) {
      offered_.push_back(add->carrier);
      sockets_[add->carrier] = std::move(*add);
    } else if (const auto* ready = std::get_if<ipc::CarrierReady>(&message)) {
      ready_.push_back(*ready);
      if (!ready->status.ok()) Close(ready->carrier);
    } else if (const auto* gone = std::get_if<ipc::CarrierRemove>(&message)) {
      removed_.push_back(gone->carrier);
      Close(gone->carrier);
    } else if (const auto* renamed = std::get_if<ipc::CarrierRenamed>(&message)) {
      renamed_.emplace_back(renamed->carrier, renamed->name);
    }
  }
  void Close(ipc::CarrierId id) {
    rings_.erase(id);  // a mapping holds its socket
    sockets_.erase(id);
  }
  // What an engine does: maps everything that was offered and says so.
  void Map() {
    for (const ipc::CarrierId id : std::exchange(offered_, {})) {
      for (const ipc::CarrierQueue& queue : sockets_[id].queues) {
        auto rings = xsk::XskRings::Map(queue.xsk.get(), {});
        ASSERT_TRUE(rings.ok()) << rings.status();
        rings_[id].push_back(*std::move(rings));
      }
      carriers_->OnMapped({id, absl::OkStatus()});
    }
  }
  DatapathChoice ChoosePending(const std::vector<Endpoint>& endpoints = {}) {
    return ChooseDatapath(Plan(endpoints), carriers_.get(), config_);
  }
  // With an engine that maps at once what it is offered.
  DatapathChoice Choose(const std::vector<Endpoint>& endpoints = {}) {
    DatapathChoice choice = ChoosePending(endpoints);
    Map();
    Settle(choice);  // the queue may be held for a moment by the socket before
    return Concluded(choice);
  }
  // The loop stops whenever a carrier settled, which may have been before it ran.
  void Settle(const DatapathChoice& choice) {
    for (int i = 0; i < 8 && Concluded(choice).pending; ++i) EXPECT_TRUE(loop_->Run().ok());
  }
  DatapathChoice Concluded(DatapathChoice choice) {
    Conclude(*carriers_, config_, &choice);
    return choice;
  }
  // As the monitor does, when it sees that the interface has gone.
  void Delete(const std::string& name) {
    const int index = netlink::GetLink(&socket_, name)->index;
    Ip(absl::StrCat("link delete ", name));
    carriers_->OnLinkRemoved(index);
  }
  bool Attached(const std::string& name) {
    return netlink::GetLink(&socket_, name)->xdp_program_id != 0;
  }

  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  netlink::Socket socket_ = *netlink::Socket::Open();
  std::vector<ipc::CarrierId> offered_, settled_;  // not answered; as told
  std::vector<ipc::CarrierReady> ready_;
  std::map<ipc::CarrierId, ipc::CarrierAdd> sockets_;
  std::map<ipc::CarrierId, std::vector<xsk::XskRings>> rings_;
  std::unique_ptr<steering::MapSet> maps_;
  std::unique_ptr<CarrierTable> carriers_;
  std::vector<ipc::CarrierId> removed_;
  std::vector<std::pair<ipc::CarrierId, std::string>> renamed_;
  config::Tunnel config_;
  const Endpoint near_ = *Endpoint::Parse("192.0.2.2:6789");
  const Endpoint beside_ = *Endpoint::Parse("198.51.100.2:6789");
};

TEST_F(CarriersTest, AVanishedCarrierIsGivenUpAndANewOneIsAnotherOne) {
  config_.carriers = {"ours"};
  const DatapathChoice first = Choose();
  ASSERT_EQ(first.rung, 2) << first.reason;
  EXPECT_FALSE(first.degraded);
  Delete("ours");
  EXPECT_FALSE(carriers_->AllAlive(first.carriers));
  EXPECT_NE(Plan({}).Seen(*carriers_), first.seen);
  const DatapathChoice gone = Choose();
  EXPECT_EQ(gone.rung, 3);
  EXPECT_THAT(gone.reason, HasSubstr("carrier ours is not there"));
  EXPECT_THAT(gone.trouble, HasSubstr("carrier ours is not there"));
  EXPECT_TRUE(gone.degraded) << "Datapath = xdp was asked for";
  carriers_->Release(first.carriers[0]);
  EXPECT_THAT(removed_, ElementsAre(first.carriers[0]));
  EXPECT_EQ(Plan({}).Seen(*carriers_), gone.seen) << "nothing new, nothing to do";
  Wire("ours", "theirs", "192.0.2.1/24");
  EXPECT_NE(Plan({}).Seen(*carriers_), gone.seen);
  const DatapathChoice back = Choose();
  EXPECT_EQ(back.rung, 2) << back.reason;
  EXPECT_FALSE(back.degraded);
  EXPECT_EQ(back.trouble, "");
  ASSERT_THAT(back.carriers, testing::SizeIs(1));
  EXPECT_NE(back.carriers[0], first.carriers[0]);
  EXPECT_TRUE(Attached("ours"));
  EXPECT_EQ(Plan({}).Seen(*carriers_), back.seen);
}

TEST_F(CarriersTest, AnotherNameIsAnnouncedOnceAndTheCarrierStays) {
  config_.carriers = {"ours"};
  const DatapathChoice choice = Choose();
  ASSERT_EQ(choice.carriers.size(), 1u) << choice.reason;
  const int index = netlink::GetLink(&socket_, "ours")->index;
  Ip("link set ours down");
  Ip("link set ours name mine");
  for (int i = 0; i < 2; ++i) carriers_->OnLink(*netlink::GetLink(&socket_, "mine"));
  ASSERT_EQ(renamed_.size(), 1u);
  EXPECT_EQ(renamed_[0], std::pair(choice.carriers[0], std::string("mine")));
  ASSERT_NE(carriers_->Find(index), nullptr);
  EXPECT_EQ(carriers_->Find(index)->link().name, "mine");
  EXPECT_TRUE(carriers_->AllAlive(choice.carriers));
  Ip("link set mine name ours");
}

TEST_F(CarriersTest, LostNewsAreMadeGoodByLooking) {
  config_.carriers = {"ours"};
  const DatapathChoice first = Choose();
  ASSERT_EQ(first.rung, 2) << first.reason;
  carriers_->Resync(&socket_);
  EXPECT_TRUE(carriers_->AllAlive(first.carriers));
  Ip("link delete ours");
  carriers_->Resync(&socket_);
  EXPECT_FALSE(carriers_->AllAlive(first.carriers));
  EXPECT_EQ(carriers_->Find(1), nullptr);
}

TEST_F(CarriersTest, ANameThatWasResolvedLeadsElsewhereThanTheDefaultRoute) {
  Ip("route add default via 198.51.100.2");
  const DatapathChoice guess = Choose();
  EXPECT_THAT(guess.names, ElementsAre("side"));
  EXPECT_EQ(guess.path_mtu, 1400u);
  const DatapathChoice known = Choose({near_});
  EXPECT_THAT(known.names, ElementsAre("ours"));
  EXPECT_EQ(known.path_mtu, 1500u);
  EXPECT_EQ(known.rung, 2) << known.reason;
  carriers_->Release(guess.carriers[0]);
  EXPECT_FALSE(Attached("side"));
  EXPECT_TRUE(Attached("ours"));
  // Both at once: one peer here, another there.
  EXPECT_THAT(Choose({near_, beside_}).names, ElementsAre("ours", "side"));
}

TEST_F(CarriersTest, WithoutAnyRouteTheLastCarriersStayAndSayWhatTheyLack) {
  const DatapathChoice first = Choose({near_});
  ASSERT_EQ(first.rung, 2) << first.reason;
  EXPECT_EQ(first.trouble, "");
  Ip("link set ours down");
  const CarrierPlan plan = Plan({near_}, first.names);
  ASSERT_THAT(plan.found, testing::SizeIs(1));
  EXPECT_EQ(plan.found[0].link.name, "ours");
  EXPECT_THAT(plan.Trouble(), HasSubstr("carrier ours is down"));
  EXPECT_NE(plan.Seen(*carriers_), first.seen);
  Ip("link set ours up");
  Ip("link set theirs down");
  EXPECT_EQ(Plan({near_}, first.names).Trouble(), "carrier ours has no link");
  // One way out is enough.
  config_.carriers = {"ours", "side"};
  EXPECT_EQ(Plan({}).Trouble(), "");
}

TEST_F(CarriersTest, AFailedCarrierIsTriedAgainOnlyWhenItChanged) {
  config_.carriers = {"lo"};
  const DatapathChoice choice = Choose();
  EXPECT_EQ(choice.rung, 3);
  EXPECT_THAT(choice.reason, HasSubstr("lo is not an Ethernet device"));
  EXPECT_TRUE(choice.degraded);
  EXPECT_EQ(Plan({}).Seen(*carriers_), choice.seen);
  config_.datapath = config::Datapath::kAuto;
  EXPECT_FALSE(Choose().degraded) << "nothing was asked for";
}

TEST_F(CarriersTest, NoRungIsClaimedBeforeTheEngineHasMappedTheRings) {
  config_.carriers = {"ours"};
  const DatapathChoice fresh = ChoosePending();
  EXPECT_EQ(fresh.rung, 3);
  EXPECT_TRUE(fresh.pending);
  EXPECT_FALSE(fresh.afxdp_tx);
  EXPECT_FALSE(fresh.degraded) << "it is too early to say so";
  EXPECT_EQ(fresh.cause, "rings_pending");
  EXPECT_TRUE(Attached("ours")) << "the program passes frames to the kernel";
  EXPECT_THAT(settled_, IsEmpty());
  Map();
  const DatapathChoice now = Concluded(fresh);
  EXPECT_EQ(now.rung, 2) << now.reason;
  EXPECT_FALSE(now.pending);
  EXPECT_EQ(now.cause, "no_zero_copy");
  EXPECT_THAT(settled_, ElementsAre(fresh.carriers[0]));
  ASSERT_THAT(ready_, testing::SizeIs(1));
  EXPECT_TRUE(ready_[0].status.ok());
  EXPECT_EQ(Plan({}).Seen(*carriers_), fresh.seen);
  // Another answer, an answer to nothing.
  carriers_->OnMapped({fresh.carriers[0], absl::InternalError("no")});
  carriers_->OnMapped({77, absl::OkStatus()});
  EXPECT_EQ(Concluded(fresh).rung, 2);
  // The second tunnel there has nothing to wait for.
  EXPECT_FALSE(ChoosePending().pending);
}

TEST_F(CarriersTest, RingsThatCannotBeMappedAreRung3WithTheReason) {
  config_.carriers = {"ours"};
  const DatapathChoice fresh = ChoosePending();
  ASSERT_THAT(offered_, testing::SizeIs(1));
  // The words of a kernel that maps no bound socket.
  carriers_->OnMapped({offered_[0], absl::FailedPreconditionError("fill ring: EBUSY")});
  const DatapathChoice failed = Concluded(fresh);
  EXPECT_EQ(failed.rung, 3);
  EXPECT_FALSE(failed.pending);
  EXPECT_TRUE(failed.degraded);
  EXPECT_EQ(failed.cause, "rings_not_mapped");
  EXPECT_THAT(failed.reason, testing::AllOf(HasSubstr("carrier ours"), HasSubstr("fill ring")));
  EXPECT_THAT(settled_, ElementsAre(fresh.carriers[0]));
  EXPECT_FALSE(Attached("ours")) << "a program without sockets is only in the way";
  EXPECT_EQ(carriers_->Find(netlink::GetLink(&socket_, "ours")->index), nullptr);
  EXPECT_THAT(carriers_->Describe(), IsEmpty()) << "nothing to hand over";
  EXPECT_EQ(Plan({}).Seen(*carriers_), fresh.seen) << "nothing new, nothing to do";
  Ip("link set ours down");
  EXPECT_NE(Plan({}).Seen(*carriers_), fresh.seen);
  Ip("link set ours up");
  const DatapathChoice again = Choose();
  EXPECT_EQ(again.rung, 2) << again.reason;
  EXPECT_NE(again.carriers, failed.carriers);
  carriers_->Release(failed.carriers[0]);
  EXPECT_TRUE(Attached("ours"));
}

TEST_F(CarriersTest, AnEngineThatDoesNotAnswerIsWaitedForNoLongerThanItMay) {
  config_.carriers = {"ours"};
  const DatapathChoice fresh = ChoosePending();
  const Instant before = clock_.Now();
  ASSERT_TRUE(loop_->Run().ok());  // until told that it settled
  const auto waited = clock_.Now() - before;
  EXPECT_GE(waited, CarrierTable::kPatience - std::chrono::milliseconds(50));
  EXPECT_LE(waited, CarrierTable::kPatience + std::chrono::seconds(2));
  const DatapathChoice late = Concluded(fresh);
  EXPECT_EQ(late.rung, 3);
  EXPECT_FALSE(late.pending);
  EXPECT_TRUE(late.degraded);
  EXPECT_EQ(late.cause, "rings_late");
  Map();  // better late than never
  EXPECT_EQ(Concluded(fresh).rung, 2);
  EXPECT_THAT(settled_, ElementsAre(fresh.carriers[0], fresh.carriers[0]));
}

TEST_F(CarriersTest, AQueueThatSomebodyHoldsIsTriedForAWhileWithoutWaiting) {
  config_.carriers = {"ours"};
  const auto umem = xsk::UmemRegion::Create({});
  ASSERT_TRUE(umem.ok());
  const uint32_t index = netlink::GetLink(&socket_, "ours")->index;
  auto holder = xsk::XskSocket::Open(index, 0, *umem, {});
  ASSERT_TRUE(holder.ok() && holder->Bind().ok());
  const DatapathChoice fresh = ChoosePending();
  Map();
  EXPECT_TRUE(Concluded(fresh).pending);
  UniqueFd old = holder->TakeFd();
  loop_->After(std::chrono::milliseconds(100), [&] { old.reset(); });
  Settle(fresh);
  EXPECT_EQ(Concluded(fresh).rung, 2) << Concluded(fresh).reason;
  carriers_->Release(fresh.carriers[0]);
  // And one that stays.
  auto stays = xsk::XskSocket::Open(index, 0, *umem, {});
  ASSERT_TRUE(stays.ok());
  for (int i = 0; i < 100 && !stays->bound(); ++i) {
    if (!stays->Bind().ok()) usleep(10'000);
  }
  ASSERT_TRUE(stays->bound());
  const DatapathChoice busy = Choose();
  EXPECT_EQ(busy.rung, 3);
  EXPECT_EQ(busy.cause, "sockets_not_bound");
  EXPECT_THAT(busy.reason, HasSubstr("another AF_XDP socket holds this queue"));
}

TEST_F(CarriersTest, EachEngineGetsSocketsOfItsOwn) {
  config_.carriers = {"ours"};
  const DatapathChoice first = Choose();
  ASSERT_EQ(first.rung, 2) << first.reason;
  sockets_.clear();
  rings_.clear();
  carriers_->OnEngineDeath();
  EXPECT_TRUE(Concluded(first).pending);
  EXPECT_EQ(Concluded(first).rung, 3);
  carriers_->OnMapped({first.carriers[0], absl::OkStatus()});
  EXPECT_EQ(Concluded(first).rung, 3) << "nothing has been offered";
  carriers_->Reannounce();
  EXPECT_THAT(offered_, ElementsAre(first.carriers[0]));
  Map();
  Settle(first);
  EXPECT_EQ(Concluded(first).rung, 2) << Concluded(first).reason;
  // Handing over: an answer that is under way binds nothing any more.
  carriers_->OnEngineDeath();
  sockets_.clear();
  rings_.clear();
  carriers_->Reannounce();
  carriers_->StopSteering();
  Map();
  EXPECT_EQ(Concluded(first).rung, 3);
}

class EndpointCheckTest : public CarriersTest {
 protected:
  std::string Check(const std::string& endpoint, uint16_t port = 6789, int tunnel = 0) {
    return std::string(CheckEndpoint(&socket_, config_, {port, 0, tunnel}, config_.peers[0],
                                     *Endpoint::Parse(endpoint))
                           .message());
  }
};

TEST_F(EndpointCheckTest, NotIntoTheTunnelItself) {
  const int side = netlink::GetLink(&socket_, "side")->index;
  Ip("route add 203.0.113.0/24 dev side");
  EXPECT_THAT(Check("203.0.113.7:6789", 6789, side),
              testing::AllOf(HasSubstr("tun.conf"), HasSubstr("203.0.113.7"),
                             HasSubstr("by way of the tunnel itself")));
  EXPECT_THAT(Check("192.0.2.3:6789", 6789, side), IsEmpty());
  EXPECT_THAT(Check("203.0.113.7:6789"), IsEmpty()) << "it has no netdev yet";
  // AllowedIPs are led around it: only what the kernel would do counts.
  config_.peers[0].allowed_ips = {*IpPrefix::Parse("192.0.2.3/32")};
  EXPECT_THAT(Check("192.0.2.3:6789", 6789, side), IsEmpty());
  Ip("route delete 203.0.113.0/24 dev side");
}

TEST_F(EndpointCheckTest, NotThisTunnelItself) {
  EXPECT_THAT(Check("192.0.2.1:6789"), HasSubstr("is this tunnel itself"));
  EXPECT_THAT(Check("127.0.0.1:6789"), HasSubstr("is this tunnel itself"));
  EXPECT_THAT(Check("192.0.2.1:6789", 7000), IsEmpty()) << "another tunnel of this host";
  EXPECT_THAT(Check("192.0.2.2:6789"), IsEmpty());
}

TEST_F(EndpointCheckTest, NotNobody) {
  for (const char* address : {"0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[::]:1",
                              "[ff02::1]:1", "[::ffff:192.0.2.2]:1", "[fe80::1]:1"}) {
    EXPECT_THAT(Check(address), HasSubstr(" is ")) << address;
  }
}

}  // namespace
}  // namespace cipe::broker
