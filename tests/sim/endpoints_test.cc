// An engine and the broker's endpoint book together: failover between configured endpoints, the way
// back to the preferred one, and roaming between families.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/endpoint_book.h"
#include "protocol/constants.h"
#include "tests/sim/scenario.h"

namespace cipe::sim {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Endpoint One() { return *Endpoint::Parse("192.0.2.2:6789"); }
Endpoint Two() { return *Endpoint::Parse("198.51.100.2:6789"); }
Endpoint Six() { return *Endpoint::Parse("[2001:db8::2]:6789"); }
Endpoint Away() { return *Endpoint::Parse("203.0.113.9:4500"); }

config::EndpointSpec Spec(const Endpoint& e) { return {e.address.ToString(), e.port}; }

constexpr uint32_t kTunnel = 1, kPeer = 100;

// Host a has a book with these lines for b; b is wherever the test attaches it.
class EndpointsTest : public testing::Test {
 protected:
  void Start(std::vector<config::EndpointSpec> lines, PairOptions options = {}) {
    options.b_knows_a = false;
    net_ = std::make_unique<Pair>(options);
    loop_ = *EventLoop::Create(net_->clock);
    broker::EndpointBook::Hooks hooks;
    hooks.resolve = [this](const config::EndpointSpec&, broker::Resolver::Done done) {
      ++questions_;
      loop_->After(20ms, [this, done] {
        if (dns_.empty()) return done(absl::UnavailableError("no such name"));
        done(broker::DnsAnswer{dns_, 60s});
      });
    };
    hooks.check = [](uint32_t, uint32_t, const Endpoint&) { return absl::OkStatus(); };
    hooks.reachable = [](uint32_t, const Endpoint&) { return true; };
    hooks.announce = [this](uint32_t tunnel, uint32_t peer, const Endpoint& endpoint,
                            const std::string& trouble) {
      net_->a->engine().EndpointResolved(tunnel, peer, endpoint, trouble);
    };
    book_ = std::make_unique<broker::EndpointBook>(*loop_, std::move(hooks));
    // The book is another process: it answers a little later.
    net_->a->on_failed = [this](const Endpoint& endpoint) {
      loop_->After(1ms, [this, endpoint] { book_->Failed(kPeer, endpoint); });
    };
    const Endpoint first = book_->Add(kTunnel, kPeer, lines);
    EXPECT_TRUE(!first.is_set() || first == One()) << "where a scenario's peer is configured";
  }
  void Run(Duration span) {
    for (const Instant end = net_->clock.Now() + span; net_->clock.Now() < end;) {
      ASSERT_TRUE(loop_->RunOnce(Duration::zero()).ok());
      net_->Run(std::min<Duration>(50ms, end - net_->clock.Now()));
    }
  }
  // Where a's initiations went since the record had `from` datagrams.
  std::vector<Endpoint> Asked(size_t from = 0) const {
    std::vector<Endpoint> asked;
    for (size_t i = from; i < net_->network.record.size(); ++i) {
      const Datagram& d = net_->network.record[i];
      if (d.octets[0] == protocol::kTypeInitiation && d.from.address.octets[3] == 1) {
        asked.push_back(d.to);
      }
    }
    return asked;
  }
  size_t sent() const { return net_->network.record.size(); }
  Endpoint Remote() { return net_->a->peer().path.path.Get().remote; }
  // b is at both places, as a host with two addresses; only what is on `lost` does not arrive.
  void Lose(std::vector<Endpoint> lost) {
    net_->network.filter = [lost](const Datagram& d) {
      return std::none_of(lost.begin(), lost.end(),
                          [&](const Endpoint& e) { return d.to == e || d.from == e; });
    };
  }

  std::unique_ptr<Pair> net_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<broker::EndpointBook> book_;
  std::vector<Endpoint> dns_;
  int questions_ = 0;
};

TEST_F(EndpointsTest, TheNextLineAfterTwoSilentTries) {
  Start({Spec(One()), Spec(Two())});
  net_->b->MoveTo(Two());
  Run(10s);
  EXPECT_FALSE(net_->a->connected());
  Run(1500ms);
  EXPECT_TRUE(net_->a->connected());
  EXPECT_THAT(Asked(), ElementsAre(One(), One(), Two()));
  net_->AToB(7);
  Run(100ms);
  EXPECT_EQ(net_->b->delivered.size(), 1u);
}

TEST_F(EndpointsTest, FromOneFamilyToTheOther) {
  Start({Spec(One()), Spec(Six())});
  net_->b->MoveTo(Six());
  Run(12s);
  ASSERT_TRUE(net_->a->connected());
  EXPECT_EQ(Remote(), Six());
}

TEST_F(EndpointsTest, RoundAndRoundWhileNobodyAnswers) {
  Start({Spec(One()), Spec(Six()), Spec(Two())});
  net_->b->MoveTo(Away());
  Run(45s);
  EXPECT_THAT(Asked(), ElementsAre(One(), One(), Six(), Six(), Two(), Two(), One(), One(), Six()));
}

TEST_F(EndpointsTest, ALearnedEndpointTakesTurnsWithTheConfiguredOnes) {
  Start({Spec(One()), Spec(Two())});
  Run(1s);
  ASSERT_TRUE(net_->a->connected());
  net_->b->MoveTo(Away());
  net_->BToA(1);
  Run(100ms);
  ASSERT_EQ(Remote(), Away());
  net_->network.filter = [](const Datagram& d) { return d.from.address.octets[3] == 1; };
  const size_t before = sent();
  net_->AToB(2);
  Run(15s + 19s);
  EXPECT_THAT(Asked(before), ElementsAre(Away(), One(), Away(), Two()));
  EXPECT_EQ(Remote(), Away()) << "data must not follow a guess";
}

TEST_F(EndpointsTest, AWorkingPathThatDiesIsLeftAndTheWayBackLosesNothing) {
  Start({Spec(One()), Spec(Two())});
  Run(1s);
  ASSERT_TRUE(net_->a->connected());
  // The host has a second address; the first uplink dies.
  net_->b->AlsoAt(Two());
  Lose({One()});
  net_->AToB(1);
  Run(16s + 10s + 1s);
  EXPECT_EQ(Remote(), Two());
  const size_t healed = net_->b->delivered.size();
  Lose({});
  // Traffic in both directions all the time, over the next rekey: it finds the first one again.
  const uint32_t kPackets = 1300;
  const size_t answers = net_->a->delivered.size();
  for (uint32_t i = 0; i < kPackets; ++i) {
    net_->AToB(100 + i);
    net_->BToA(5000 + i);
    Run(100ms);
  }
  EXPECT_EQ(Remote(), One());
  EXPECT_EQ(net_->b->delivered.size() - healed, kPackets);
  EXPECT_EQ(net_->a->delivered.size() - answers, kPackets);
}

TEST_F(EndpointsTest, ARekeyThatFindsThePreferredOneStillDeadStaysWhereItIs) {
  Start({Spec(One()), Spec(Two())});
  net_->b->MoveTo(Two());
  Run(12s);
  ASSERT_TRUE(net_->a->connected());
  const size_t before = sent();
  for (int i = 0; i < 150; ++i) {
    net_->AToB(static_cast<uint32_t>(i));
    Run(1s);
  }
  EXPECT_THAT(Asked(before), ElementsAre(One(), Two())) << "one try, then where the session is";
  EXPECT_EQ(net_->b->delivered.size(), 150u);
}

TEST_F(EndpointsTest, ANameThatMovedIsFollowedWhenTheOldAddressIsSilent) {
  dns_ = {One()};
  Start({{"peer.example", 6789}});
  Run(1s);
  ASSERT_TRUE(net_->a->connected());
  net_->b->MoveTo(Two());
  dns_ = {Two()};
  net_->AToB(1);
  Run(16s + 10s + 2s);
  EXPECT_TRUE(net_->a->connected());
  EXPECT_EQ(Remote(), Two());
  net_->AToB(2);
  Run(100ms);
  ASSERT_FALSE(net_->b->delivered.empty());
  EXPECT_EQ(TagOf(net_->b->delivered.back()), 2u);
}

TEST_F(EndpointsTest, ANameThatMovesLeavesAWorkingSessionAlone) {
  dns_ = {One()};
  Start({{"peer.example", 6789}});
  Run(1s);
  dns_ = {Two()};
  for (int i = 0; i < 100; ++i) {
    net_->AToB(static_cast<uint32_t>(i));
    Run(1s);
  }
  EXPECT_GE(questions_, 2);
  EXPECT_EQ(Remote(), One());
  EXPECT_EQ(net_->b->delivered.size(), 100u);
}

TEST_F(EndpointsTest, NoDnsAtTheStartIsNoDisaster) {
  Start({{"peer.example", 6789}}, {.a_knows_b = false});
  Run(25s);
  EXPECT_FALSE(net_->a->connected());
  EXPECT_TRUE(Asked().empty());
  EXPECT_EQ(net_->a->engine().WhyNoSession(net_->a->peer()),
            "it has no Endpoint here, so it must start")
      << "the scenario's peer has no line of its own";
  dns_ = {Six(), One()};
  Run(50s);
  EXPECT_TRUE(net_->a->connected()) << "AAAA does not answer, A does";
  EXPECT_EQ(Remote(), One());
}

TEST_F(EndpointsTest, BothEndsRoamBetweenFamilies) {
  Start({Spec(One())});
  Run(1s);
  ASSERT_TRUE(net_->a->connected() && net_->b->connected());
  const Endpoint a6 = *Endpoint::Parse("[2001:db8::1]:7001"),
                 a4 = *Endpoint::Parse("192.0.2.1:7002");
  uint32_t tag = 0;
  const auto speaks = [&](bool a_first) {
    if (a_first)
      net_->AToB(++tag);
    else
      net_->BToA(++tag);
    Run(50ms);
    const size_t at_a = net_->a->delivered.size(), at_b = net_->b->delivered.size();
    net_->AToB(++tag);
    net_->BToA(++tag);
    Run(50ms);
    return net_->a->delivered.size() == at_a + 1 && net_->b->delivered.size() == at_b + 1;
  };
  for (const Endpoint& to : {Six(), Two(), Six(), One()}) {
    net_->b->MoveTo(to);
    EXPECT_TRUE(speaks(false)) << to.ToString();
    EXPECT_EQ(Remote(), to);
  }
  for (const Endpoint& to : {a6, a4}) {
    net_->a->MoveTo(to);
    EXPECT_TRUE(speaks(true)) << to.ToString();
    EXPECT_EQ(net_->b->peer().path.path.Get().remote, to);
  }
  EXPECT_EQ(net_->a->AllDrops() + net_->b->AllDrops(), 0u);
}

// Whoever answers at once has always sent something later than he heard, and lacks nothing.
TEST_F(EndpointsTest, AnsweringEachPacketIsNoSignOfSilence) {
  Start({Spec(One())});
  Run(1s);
  const size_t before = sent();
  for (int i = 0; i < 100 * 4; ++i) {
    net_->AToB(1);
    net_->Run(20ms);
    net_->BToA(2);
    Run(230ms);
  }
  for (size_t i = before; i < sent(); ++i) {
    EXPECT_NE(net_->network.record[i].octets[0], protocol::kTypeInitiation) << i;
  }
}

TEST_F(EndpointsTest, WhatThisHostCannotSendGetsNoSecondTry) {
  Start({Spec(One()), Spec(Two())});
  net_->a->RestartDaemon();
  net_->a->send_error = ENETUNREACH;
  const size_t before = net_->a->failed.size();
  Run(12s);
  EXPECT_THAT(std::vector<Endpoint>(net_->a->failed.begin() + static_cast<ptrdiff_t>(before),
                                    net_->a->failed.end()),
              ElementsAre(One(), Two()));
}

}  // namespace
}  // namespace cipe::sim
