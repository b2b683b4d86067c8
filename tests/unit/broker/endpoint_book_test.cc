// Which endpoint is in use and when names are asked for, on a clock of the test's own.
#include "broker/endpoint_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/clock.h"

namespace cipe::broker {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr ipc::TunnelId kTunnel = 1;
constexpr ipc::PeerId kPeer = 100;

Endpoint At(const char* text) { return *Endpoint::Parse(text); }

class EndpointBookTest : public testing::Test {
 protected:
  EndpointBookTest() {
    EndpointBook::Hooks hooks;
    hooks.resolve = [this](const config::EndpointSpec& spec, Resolver::Done done) {
      asked_.push_back({spec.host, std::move(done)});
      ++questions_;
    };
    hooks.check = [this](ipc::TunnelId, ipc::PeerId, const Endpoint& endpoint) -> absl::Status {
      if (refused_.contains(endpoint))
        return absl::FailedPreconditionError("is this tunnel itself");
      return absl::OkStatus();
    };
    hooks.reachable = [this](ipc::TunnelId, const Endpoint& endpoint) {
      return !no_route_.contains(endpoint.address);
    };
    hooks.announce = [this](ipc::TunnelId tunnel, ipc::PeerId peer, const Endpoint& endpoint,
                            const std::string& trouble) {
      EXPECT_EQ(tunnel, kTunnel);
      if (peer != kPeer) return;
      told_.push_back(endpoint.is_set() ? endpoint.ToString() : trouble);
    };
    book_ = std::make_unique<EndpointBook>(*loop_, std::move(hooks));
  }

  Endpoint Add(std::vector<config::EndpointSpec> lines, ipc::PeerId peer = kPeer) {
    return book_->Add(kTunnel, peer, lines);
  }
  // Answers the question about `host` that is open.
  void Answer(const std::string& host, std::vector<const char*> addresses, int ttl_s = 60) {
    DnsAnswer answer;
    for (const char* a : addresses) answer.endpoints.push_back(At(a));
    answer.ttl = seconds(ttl_s);
    Reply(host, answer);
  }
  void Fail(const std::string& host) { Reply(host, absl::UnavailableError("no " + host)); }
  void Reply(const std::string& host, Resolved answer) {
    const auto it = std::find_if(asked_.begin(), asked_.end(),
                                 [&](const auto& question) { return question.first == host; });
    ASSERT_NE(it, asked_.end()) << host << " is not asked for";
    const Resolver::Done done = it->second;
    asked_.erase(it);
    done(std::move(answer));
  }
  void Pass(Duration span) {
    const Instant end = clock_.Now() + span;
    while (clock_.Now() < end) {
      clock_.Advance(std::min<Duration>(seconds(1), end - clock_.Now()));
      ASSERT_TRUE(loop_->RunOnce(Duration::zero()).ok());
    }
  }
  bool Asked(const std::string& host) const {
    return std::any_of(asked_.begin(), asked_.end(),
                       [&](const auto& question) { return question.first == host; });
  }
  std::vector<std::string> Told() { return std::exchange(told_, {}); }

  ManualClock clock_{FromNanos(1'000'000'000'000), WallTime{1'800'000'000'000'000'000}};
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::vector<std::pair<std::string, Resolver::Done>> asked_;
  int questions_ = 0;
  std::set<Endpoint> refused_;
  std::set<IpAddress> no_route_;
  std::vector<std::string> told_;
  std::unique_ptr<EndpointBook> book_;
};

TEST_F(EndpointBookTest, ASingleNumberIsThereAtOnceAndCostsNothing) {
  EXPECT_EQ(Add({{"192.0.2.1", 1}}), At("192.0.2.1:1"));
  EXPECT_EQ(book_->names(), 0u);
  book_->Failed(kPeer, At("192.0.2.1:1"));
  Pass(std::chrono::hours(1));
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_EQ(questions_, 0);
  EXPECT_FALSE(Add({}, 7).is_set());
}

TEST_F(EndpointBookTest, NumbersTakeTurnsRoundAndRound) {
  EXPECT_EQ(Add({{"192.0.2.1", 1}, {"2001:db8::2", 2}, {"192.0.2.3", 3}}), At("192.0.2.1:1"));
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_THAT(Told(), ElementsAre("[2001:db8::2]:2"));
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_THAT(Told(), IsEmpty()) << "that one is not in use";
  book_->Failed(kPeer, At("[2001:db8::2]:2"));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.3:3"));
  book_->Failed(kPeer, At("192.0.2.3:3"));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
}

TEST_F(EndpointBookTest, ThePreferredOneComesBackAWhileAfterTheLastFailure) {
  Add({{"192.0.2.1", 1}, {"192.0.2.2", 2}, {"192.0.2.3", 3}});
  book_->Failed(kPeer, At("192.0.2.1:1"));
  Pass(EndpointBook::kReturn - seconds(5));
  book_->Failed(kPeer, At("192.0.2.2:2"));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:2", "192.0.2.3:3"));
  Pass(EndpointBook::kReturn - seconds(2));
  EXPECT_THAT(Told(), IsEmpty());
  Pass(seconds(3));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
  Pass(std::chrono::hours(1));
  EXPECT_THAT(Told(), IsEmpty()) << "it goes on announcing";
}

TEST_F(EndpointBookTest, AFamilyWithoutRouteIsPassedByWhileAnotherHasOne) {
  no_route_ = {At("[2001:db8::1]:1").address};
  EXPECT_FALSE(Add({{"peer", 1}}).is_set());
  Answer("peer", {"[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"});
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
  book_->Failed(kPeer, At("192.0.2.1:1"));
  book_->Failed(kPeer, At("192.0.2.2:1"));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:1", "192.0.2.1:1"));
  // The route comes: it is one of three then.
  no_route_.clear();
  Pass(EndpointBook::kReturn + seconds(1));
  EXPECT_THAT(Told(), IsEmpty());
  book_->Failed(kPeer, At("192.0.2.1:1"));
  book_->Failed(kPeer, At("192.0.2.2:1"));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:1", "[2001:db8::1]:1"));
}

TEST_F(EndpointBookTest, ThePreferredLineComesBackWhenItHasARoute) {
  no_route_ = {At("[2001:db8::1]:1").address};
  Add({{"2001:db8::1", 1}, {"192.0.2.1", 1}});
  EXPECT_FALSE(no_route_.empty());
  Pass(EndpointBook::kReturn * 3);
  EXPECT_THAT(Told(), IsEmpty());
  no_route_.clear();
  Pass(EndpointBook::kReturn);
  EXPECT_THAT(Told(), ElementsAre("[2001:db8::1]:1"));
}

TEST_F(EndpointBookTest, WithoutAnyRouteTheFirstIsTried) {
  no_route_ = {At("192.0.2.1:1").address, At("192.0.2.2:1").address};
  EXPECT_EQ(Add({{"192.0.2.1", 1}, {"192.0.2.2", 1}}), At("192.0.2.1:1"));
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:1"));
}

TEST_F(EndpointBookTest, ANameIsAskedAgainWhenItsTimeIsOverAndMovesThePeerOnlyWhenItMust) {
  Add({{"peer", 1}});
  Answer("peer", {"192.0.2.1:1", "192.0.2.2:1"}, 100);
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
  Pass(seconds(99));
  EXPECT_EQ(questions_, 1);
  Pass(seconds(9));
  ASSERT_EQ(questions_, 2);
  Answer("peer", {"192.0.2.2:1", "192.0.2.1:1"}, 100);
  EXPECT_THAT(Told(), IsEmpty()) << "another order is no reason to move";
  Pass(seconds(108));
  Answer("peer", {"192.0.2.7:1"}, 100);
  EXPECT_THAT(Told(), ElementsAre("192.0.2.7:1"));
}

TEST_F(EndpointBookTest, TimesToLiveAreBounded) {
  Add({{"short", 1}, {"long", 1}});
  Answer("short", {"192.0.2.1:1"}, 0);
  Answer("long", {"192.0.2.2:1"}, 10'000'000);
  Pass(EndpointBook::kLeastTtl - seconds(1));
  EXPECT_THAT(asked_, IsEmpty());
  Pass(seconds(4));
  ASSERT_TRUE(Asked("short"));
  Answer("short", {"192.0.2.1:1"}, 10'000'000);
  Pass(EndpointBook::kMostTtl * 17 / 16);
  EXPECT_TRUE(Asked("short") && Asked("long"));
}

TEST_F(EndpointBookTest, AFailedLookupKeepsTheOldAnswerAndIsAskedAgainEverSlower) {
  Add({{"peer", 1}});
  Fail("peer");
  EXPECT_THAT(Told(), ElementsAre("no peer"));
  Pass(seconds(9));
  EXPECT_FALSE(Asked("peer"));
  Pass(seconds(2));
  ASSERT_TRUE(Asked("peer"));
  Fail("peer");
  EXPECT_THAT(Told(), IsEmpty()) << "told already";
  Pass(seconds(19));
  EXPECT_FALSE(Asked("peer"));
  Pass(seconds(2));
  Answer("peer", {"192.0.2.1:1"}, 30);
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
  Pass(seconds(33));
  Fail("peer");
  EXPECT_THAT(Told(), IsEmpty()) << "its last address is kept";
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_THAT(Told(), IsEmpty());
  // Ten failures later it is still asked for every minute.
  for (int i = 0; i < 10; ++i) {
    Pass(EndpointBook::kLastPause + seconds(1));
    ASSERT_TRUE(Asked("peer"));
    Fail("peer");
  }
}

TEST_F(EndpointBookTest, ANetworkThatChangesIsAReasonToAskAtOnce) {
  Add({{"peer", 1}});
  Fail("peer");
  book_->NetworkChanged();
  EXPECT_FALSE(Asked("peer")) << "it was asked for just now";
  Pass(seconds(2));
  book_->NetworkChanged();
  book_->NetworkChanged();
  EXPECT_EQ(questions_, 2);
  Answer("peer", {"192.0.2.1:1"});
  Pass(seconds(2));
  book_->NetworkChanged();
  EXPECT_EQ(questions_, 2) << "nothing is wrong with it";
}

TEST_F(EndpointBookTest, AnAddressThatDoesNotAnswerIsAReasonToAsk) {
  Add({{"peer", 1}});
  Answer("peer", {"192.0.2.1:1"}, 3600);
  Told();
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_FALSE(Asked("peer")) << "the answer is fresh";
  Pass(EndpointBook::kSpacing);
  book_->Failed(kPeer, At("192.0.2.1:1"));
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_EQ(questions_, 2);
  Answer("peer", {"192.0.2.9:1"}, 3600);
  EXPECT_THAT(Told(), ElementsAre("192.0.2.9:1"));
}

TEST_F(EndpointBookTest, AtTheStartANameMayAnswerBeforeALessPreferredLineIsTaken) {
  EXPECT_FALSE(Add({{"peer", 1}, {"192.0.2.2", 2}}).is_set());
  Pass(seconds(1));
  Answer("peer", {"192.0.2.1:1"});
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
}

TEST_F(EndpointBookTest, ButNotForLong) {
  Add({{"peer", 1}, {"192.0.2.2", 2}});
  Pass(EndpointBook::kPatience - seconds(1));
  EXPECT_THAT(Told(), IsEmpty());
  Pass(seconds(1));
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:2"));
  Answer("peer", {"192.0.2.1:1"});
  EXPECT_THAT(Told(), IsEmpty()) << "what is in use stays until it fails, or its time has come";
  Pass(EndpointBook::kReturn);
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
}

TEST_F(EndpointBookTest, ANameThatFailsAtTheStartIsNotWaitedFor) {
  Add({{"peer", 1}, {"192.0.2.2", 2}});
  Fail("peer");
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:2"));
}

TEST_F(EndpointBookTest, RefusedAddressesAreNeverTaken) {
  refused_ = {At("192.0.2.1:1")};
  Add({{"peer", 1}});
  Answer("peer", {"192.0.2.1:1"}, 3600);
  EXPECT_THAT(Told(), ElementsAre("is this tunnel itself"));
  Pass(EndpointBook::kFirstPause + seconds(1));
  ASSERT_TRUE(Asked("peer")) << "as good as no answer, whatever its TTL";
  Answer("peer", {"192.0.2.1:1", "192.0.2.2:1"}, 3600);
  EXPECT_THAT(Told(), ElementsAre("192.0.2.2:1"));
  book_->Failed(kPeer, At("192.0.2.2:1"));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(EndpointBookTest, PeersShareAName) {
  constexpr ipc::PeerId kMany = 10'000;
  for (ipc::PeerId peer = 0; peer < kMany; ++peer) Add({{"hub", 1}}, peer);
  EXPECT_EQ(book_->peers(), kMany);
  EXPECT_EQ(questions_, 1);
  Answer("hub", {"192.0.2.1:1"});
  EXPECT_THAT(Told(), ElementsAre("192.0.2.1:1"));
  EXPECT_EQ(Add({{"hub", 1}}, kMany), At("192.0.2.1:1")) << "what is known is there at once";
  for (ipc::PeerId peer = 0; peer <= kMany; ++peer) book_->Remove(peer);
  EXPECT_EQ(book_->names(), 0u);
  Pass(std::chrono::hours(2));
  EXPECT_EQ(questions_, 1) << "nobody wants it any more";
}

TEST_F(EndpointBookTest, APeerThatGoesWhileItsNameIsAskedForHearsNothing) {
  Add({{"peer", 1}, {"other", 1}});
  book_->Remove(kPeer);
  Answer("peer", {"192.0.2.1:1"});
  Pass(std::chrono::hours(1));
  book_->Failed(kPeer, At("192.0.2.1:1"));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(EndpointBookTest, OtherLinesKeepWhatIsStillAmongThem) {
  Add({{"peer", 1}, {"192.0.2.2", 2}});
  Answer("peer", {"192.0.2.1:1"});
  Told();
  book_->Change(kPeer, {{"192.0.2.3", 3}, {"peer", 1}});
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(questions_, 1) << "the name was known";
  book_->Change(kPeer, {{"192.0.2.3", 3}});
  EXPECT_THAT(Told(), ElementsAre("192.0.2.3:3"));
  EXPECT_EQ(book_->names(), 0u);
  book_->Change(kPeer, {});
  EXPECT_THAT(Told(), IsEmpty());
  book_->Change(kPeer, {{"new", 4}});
  Answer("new", {"192.0.2.4:4"});
  EXPECT_THAT(Told(), ElementsAre("192.0.2.4:4"));
  book_->Change(55, {{"192.0.2.3", 3}});
  EXPECT_EQ(book_->peers(), 1u);
}

}  // namespace
}  // namespace cipe::broker
