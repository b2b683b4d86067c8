// RouteKeeper and RouteBook against the real kernel, in a namespace of the program's own: a veth
// end stands for the tunnel's netdev.
#include "broker/route_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "netlink/link.h"
#include "tests/support/require.h"

namespace cipe::broker {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const bool kOwnNamespace = test::Require(test::OwnNetworkNamespace);

int TryIp(const std::string& words) {
  return system(absl::StrCat("PATH=$PATH:/usr/sbin:/sbin ip ", words, " 2>/dev/null").c_str());
}

void Ip(const std::string& words) { ASSERT_EQ(TryIp(words), 0) << words; }

std::string Shown(const std::string& words) {
  FILE* pipe = popen(absl::StrCat("PATH=$PATH:/usr/sbin:/sbin ip ", words, " 2>&1").c_str(), "r");
  std::string text;
  char part[512];
  while (fgets(part, sizeof part, pipe) != nullptr) text += part;
  pclose(pipe);
  return text;
}

class RouteKeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"site", "two", "eth0"}) {
      Ip(absl::StrCat("link add ", name, " type veth peer name ", name, "-far"));
      Ip(absl::StrCat("link set ", name, " addrgenmode none up"));
      Ip(absl::StrCat("link set ", name, "-far addrgenmode none up"));
    }
    Ip("address add 192.0.2.1/24 dev eth0");
    config_.name = "site";
    config_.path = "/etc/cipe/site.conf";
    config_.addresses = {*IpPrefix::Parse("10.9.0.1/32"), *IpPrefix::Parse("fd09::1/128")};
    config_.peers.emplace_back().name = "peer";
    Allow({"10.0.1.0/24", "fd00:1::/64"});
  }
  void TearDown() override {
    for (const char* name : {"site", "two", "eth0"}) TryIp(absl::StrCat("link delete ", name));
    for (const char* family : {"-4", "-6"}) {
      TryIp(absl::StrCat(family, " rule flush proto 205"));
      TryIp(absl::StrCat(family, " route flush table all proto 205"));
    }
  }
  void Allow(std::vector<std::string> prefixes) {
    config_.peers[0].allowed_ips.clear();
    for (const auto& p : prefixes) {
      config_.peers[0].allowed_ips.push_back(*IpPrefix::Parse(p));
    }
  }
  RoutePlan Plan() {
    OwnTable own;
    if (NeedsOwnTable(config_, {})) own = *book_->TakeTable("site", config_.fwmark);
    return *PlanRoutes(config_, {}, own);
  }
  std::unique_ptr<RouteKeeper> Keeper(RoutePlan standing = {}, const char* name = "site") {
    return std::make_unique<RouteKeeper>(&socket_, book_.get(), name, config_.path,
                                         netlink::GetLink(&socket_, name)->index,
                                         std::move(standing));
  }
  std::unique_ptr<RouteBook> Book() {
    return std::make_unique<RouteBook>(&socket_, disk_, [this](const LastingRoutes& all) {
      if (!disk_works_) return absl::UnavailableError("read-only");
      disk_ = all;
      return absl::OkStatus();
    });
  }
  std::string Ours(const char* family = "-4") {
    return Shown(absl::StrCat(family, " route show table all proto 205"));
  }

  LastingRoutes disk_;
  bool disk_works_ = true;
  netlink::Socket socket_ = *netlink::Socket::Open();
  std::unique_ptr<RouteBook> book_ = Book();
  config::Tunnel config_;
};

TEST_F(RouteKeeperTest, ComesUpAndChangesOnlyWhatDiffers) {
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  EXPECT_THAT(Ours(), HasSubstr("10.0.1.0/24 dev site"));
  EXPECT_THAT(Ours("-6"), HasSubstr("fd00:1::/64 dev site"));
  EXPECT_THAT(Shown("address show site"), AllOf(HasSubstr("10.9.0.1/32"), HasSubstr("fd09::1")));
  Ip("address add 10.77.0.1/32 dev site");             // somebody's
  Ip("route add 10.78.0.0/16 dev site proto static");  // somebody's
  Allow({"10.0.2.0/24"});
  config_.addresses = {*IpPrefix::Parse("10.9.0.2/32")};
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  EXPECT_THAT(Ours(), AllOf(HasSubstr("10.0.2.0/24"), Not(HasSubstr("10.0.1.0/24"))));
  EXPECT_THAT(Ours("-6"), IsEmpty());
  EXPECT_THAT(
      Shown("address show site"),
      AllOf(HasSubstr("10.9.0.2/32"), Not(HasSubstr("10.9.0.1/32")), HasSubstr("10.77.0.1/32")));
  EXPECT_THAT(Shown("route"), HasSubstr("10.78.0.0/16"));
}

TEST_F(RouteKeeperTest, AnotherAddressOfTheSameNetworkStays) {
  config_.addresses = {*IpPrefix::Parse("10.9.0.1/24"), *IpPrefix::Parse("10.9.0.7/24")};
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  config_.addresses = {*IpPrefix::Parse("10.9.0.2/24"), *IpPrefix::Parse("10.9.0.7/24")};
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  EXPECT_THAT(Shown("address show site"), AllOf(HasSubstr("10.9.0.2/24"), HasSubstr("10.9.0.7/24"),
                                                Not(HasSubstr("10.9.0.1/24"))));
  EXPECT_THAT(Ours(), HasSubstr("10.0.1.0/24 dev site"));
}

TEST_F(RouteKeeperTest, AnAddressGetsAnotherLength) {
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  for (const char* length : {"/64", "/48", "/128"}) {
    config_.addresses = {*IpPrefix::Parse("10.9.0.1/32"),
                         *IpPrefix::Parse(absl::StrCat("fd09::1", length))};
    const absl::Status status = keeper->Apply(Plan());
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_THAT(Shown("address show site"), HasSubstr(absl::StrCat("fd09::1", length, " ")));
    EXPECT_THAT(Ours("-6"), HasSubstr("fd00:1::/64 dev site"));
  }
  // One that cannot be had leaves the old one.
  config_.addresses = {*IpPrefix::Parse("fd09::1/64"), *IpPrefix::Parse("fd0a::1/64")};
  Ip("address add fd0a::1/128 dev site");  // somebody's
  EXPECT_FALSE(keeper->Apply(Plan()).ok());
  EXPECT_THAT(Shown("address show site"), HasSubstr("fd09::1/128 "));
}

TEST_F(RouteKeeperTest, CheckFindsWhatApplyWouldRefuse) {
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  Ip("route add 10.0.2.0/24 dev eth0");
  Allow({"10.0.2.0/24"});
  EXPECT_THAT(std::string(keeper->Check(Plan()).message()), HasSubstr("eth0"));
  Allow({"10.0.3.0/24"});
  EXPECT_TRUE(keeper->Check(Plan()).ok());
  EXPECT_THAT(Ours(), Not(HasSubstr("10.0.3.0/24"))) << "it did something";
  // Another tunnel of ours may give it up with the same reload.
  Ip("route add 10.0.3.0/24 dev two");
  book_->AddNetdev(netlink::GetLink(&socket_, "two")->index, "two");
  EXPECT_TRUE(keeper->Check(Plan()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(keeper->Apply(Plan())));
  config_.addresses = {*IpPrefix::Parse("192.0.2.1/32")};
  EXPECT_THAT(std::string(keeper->Check(Plan()).message()), HasSubstr("192.0.2.1"));
}

TEST_F(RouteKeeperTest, ASuccessorTouchesNothingThatIsAsWanted) {
  config_.reject_when_down = true;
  Allow({"10.0.1.0/24", "0.0.0.0/0"});
  const RoutePlan plan = Plan();
  auto first = Keeper();
  ASSERT_TRUE(first->Apply(plan).ok());
  first->Leave();
  first.reset();
  book_ = Book();
  const RoutePlan same = Plan();
  EXPECT_EQ(same, plan) << "another table or mark than before";
  FILE* monitor = popen("PATH=$PATH:/usr/sbin:/sbin timeout 1 ip monitor route rule address", "r");
  auto second = Keeper(same);
  ASSERT_TRUE(second->Apply(same).ok());
  EXPECT_EQ(second->Restore(Instant()), RouteKeeper::Look::kSame);
  char line[256];
  EXPECT_EQ(fgets(line, sizeof line, monitor), nullptr) << line;
  pclose(monitor);
}

TEST_F(RouteKeeperTest, NothingIsHalfApplied) {
  Allow({"10.0.1.0/24", "10.0.2.0/24", "0.0.0.0/0"});
  config_.reject_when_down = true;
  Ip("route add 10.0.2.0/24 dev eth0 metric 50");
  auto keeper = Keeper();
  const absl::Status status = keeper->Apply(Plan());
  EXPECT_TRUE(absl::IsAlreadyExists(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("10.0.2.0/24"), HasSubstr("eth0"), HasSubstr("metric 50"),
                    HasSubstr("Table = off")));
  EXPECT_THAT(Ours(), IsEmpty());
  EXPECT_THAT(Shown("rule"), Not(HasSubstr("20500")));
  EXPECT_TRUE(disk_.empty());
  Ip("route delete 10.0.2.0/24 dev eth0");
  Ip("address add 10.9.0.1/32 dev eth0");
  EXPECT_THAT(std::string(keeper->Apply(Plan()).message()),
              AllOf(HasSubstr("10.9.0.1"), HasSubstr("eth0")));
  Ip("address delete 10.9.0.1/32 dev eth0");
  disk_works_ = false;
  EXPECT_TRUE(absl::IsUnavailable(keeper->Apply(Plan())));
  EXPECT_THAT(Ours(), IsEmpty()) << "the kernel was asked before the disk";
  disk_works_ = true;
  // The kernel refuses in the middle: a netdev that is down takes no route.
  Ip("link set site down");
  EXPECT_FALSE(keeper->Apply(Plan()).ok());
  EXPECT_THAT(Ours(), IsEmpty());
  EXPECT_TRUE(disk_.empty());
}

TEST_F(RouteKeeperTest, RejectsOutliveTheKeeperAndGoWithTheTunnel) {
  config_.reject_when_down = true;
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  keeper.reset();
  book_ = Book();  // another process
  book_->ForgetUnwanted({"site"});
  EXPECT_THAT(Ours(), HasSubstr("unreachable 10.0.1.0/24"));
  Ip("route add unreachable 10.55.0.0/16 proto 205 metric 4294967295");  // another ciped's
  book_->ForgetUnwanted({"other"});
  EXPECT_THAT(Ours(), AllOf(Not(HasSubstr("10.0.1.0/24 metric")), HasSubstr("10.55.0.0/16")));
  EXPECT_THAT(Ours("-6"), Not(HasSubstr("unreachable")));
  EXPECT_TRUE(disk_.empty());
}

TEST_F(RouteKeeperTest, RejectsAreThereBeforeTheTunnelAfterAReboot) {
  config_.reject_when_down = true;
  Allow({"10.0.1.0/24", "0.0.0.0/0", "fd00:1::/64"});
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  keeper.reset();
  const std::string rules = Shown("rule");
  for (int i = 0; i < 3; ++i) {  // after a reboot, after a crash, and when a rule alone is gone
    if (i == 0) {
      Ip("-4 route flush table all proto 205");
      Ip("-6 route flush table all proto 205");
    }
    if (i != 1) Ip("rule delete proto 205 priority 20755");
    book_ = Book();
    book_->ForgetUnwanted({"site"});
    book_->PutBackRejects();
    EXPECT_THAT(Ours(), HasSubstr("unreachable default table 20500"));
    EXPECT_THAT(Ours(), HasSubstr("unreachable 10.0.1.0/24"));
    EXPECT_THAT(Ours("-6"), HasSubstr("unreachable fd00:1::/64"));
    EXPECT_EQ(Shown("rule"), rules);
  }
  keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  keeper.reset();
  book_->Forget("site");
  EXPECT_THAT(Ours(), Not(HasSubstr("unreachable")));
  EXPECT_THAT(Shown("rule"), Not(HasSubstr("20500")));
}

TEST_F(RouteKeeperTest, AnothersRejectRouteIsNotTaken) {
  config_.reject_when_down = true;
  Ip("route add unreachable 10.0.1.0/24 proto 205 metric 4294967295");
  auto keeper = Keeper();
  EXPECT_THAT(std::string(keeper->Apply(Plan()).message()), HasSubstr("reject route"));
  EXPECT_TRUE(disk_.empty());
}

TEST_F(RouteKeeperTest, TwoTunnelsShareARejectRoute) {
  config_.reject_when_down = true;
  config_.addresses = {};
  Allow({"10.0.1.0/24"});
  auto one = Keeper();
  ASSERT_TRUE(one->Apply(Plan()).ok());
  config_.metric = 7;
  auto two = Keeper({}, "two");
  ASSERT_TRUE(two->Apply(Plan()).ok());
  two.reset();
  book_->Forget("two");
  EXPECT_THAT(Ours(), HasSubstr("unreachable 10.0.1.0/24"));
  one.reset();
  book_->Forget("site");
  EXPECT_THAT(Ours(), Not(HasSubstr("unreachable")));
}

TEST_F(RouteKeeperTest, PutsBackButDoesNotFight) {
  Allow({"10.0.1.0/24", "0.0.0.0/0"});
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  Instant now{};
  Ip("rule delete proto 205 priority 20755");
  Ip("address delete 10.9.0.1/32 dev site");
  EXPECT_EQ(keeper->Restore(now), RouteKeeper::Look::kRestored);
  EXPECT_THAT(Shown("rule"), HasSubstr("lookup 20500"));
  EXPECT_EQ(keeper->Restore(now), RouteKeeper::Look::kSame);
  for (int i = 0; i < 4; ++i) {
    Ip("route delete 10.0.1.0/24 dev site");
    EXPECT_EQ(keeper->Restore(now), RouteKeeper::Look::kRestored) << i;
  }
  Ip("route delete 10.0.1.0/24 dev site");
  EXPECT_EQ(keeper->Restore(now), RouteKeeper::Look::kLater);
  EXPECT_EQ(keeper->Restore(now), RouteKeeper::Look::kLater);
  EXPECT_EQ(keeper->Restore(now + RouteKeeper::kTruce), RouteKeeper::Look::kRestored);
  // Switched off: nothing to be done, and nothing lost when it is on again.
  Ip("link set site down");
  EXPECT_EQ(keeper->Restore(now), RouteKeeper::Look::kSame);
  Ip("link set site up");
  EXPECT_EQ(keeper->Restore(now + RouteKeeper::kTruce), RouteKeeper::Look::kRestored);
  EXPECT_THAT(Ours(), HasSubstr("10.0.1.0/24 dev site"));
}

TEST_F(RouteKeeperTest, RulesWithoutRejectsGoWithTheKeeper) {
  Allow({"0.0.0.0/0", "::/0"});
  auto keeper = Keeper();
  ASSERT_TRUE(keeper->Apply(Plan()).ok());
  EXPECT_FALSE(disk_.empty());
  keeper.reset();
  for (const char* family : {"-4", "-6"}) {
    EXPECT_THAT(Shown(absl::StrCat(family, " rule")), Not(HasSubstr("20500")));
  }
  EXPECT_TRUE(disk_.empty());
}

TEST_F(RouteKeeperTest, TablesAndMarksThatNobodyUses) {
  Ip("route add 10.88.0.0/16 dev eth0 table 20500");
  Ip("rule add fwmark 20500 lookup 99");
  const auto own = book_->TakeTable("site", 0);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->table, 20501u);
  EXPECT_EQ(own->mark, 20501u);
  const auto second = book_->TakeTable("two", 0);
  EXPECT_EQ(second->table, 20502u);
  EXPECT_EQ(second->mark, 20501u) << "another mark, and each would take the other's packets";
  EXPECT_THAT(std::string(book_->TakeTable("three", 9).status().message()),
              AllOf(HasSubstr("FwMark"), HasSubstr("20501")));
  book_->Forget("site");
  book_->Forget("two");
  // Who takes everything by default already leaves packets with this mark alone.
  Ip("rule add not fwmark 51820 lookup 51820");
  EXPECT_EQ(book_->TakeTable("site", 0)->mark, 51820u);
  Ip("rule delete not fwmark 51820 lookup 51820");
  Ip("rule delete fwmark 20500 lookup 99");
}

}  // namespace
}  // namespace cipe::broker
