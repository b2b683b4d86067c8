#include "classic/exchange.h"

#include <algorithm>
#include <set>

#include "cipe/abi/drop_reasons.h"
#include "gmock/gmock.h"
#include "tests/unit/classic/two_ends.h"

namespace cipe::classic {
namespace {

using namespace std::chrono_literals;

int Count(const std::vector<Kind>& kinds, Kind kind) {
  return static_cast<int>(std::count(kinds.begin(), kinds.end(), kind));
}

TEST(ExchangeTest, BothDirectionsAreAgreedInOneRoundTrip) {
  TwoEnds t;
  t.Start(0);
  t.Start(1);
  t.Run(11ms);
  EXPECT_TRUE(t.Up());
  for (const auto& end : t.ends) {
    EXPECT_EQ(Count(end.sent, Kind::kIndication), 1);
    EXPECT_EQ(Count(end.sent, Kind::kAcknowledge), 1);
    EXPECT_TRUE(end.drops.empty());
    EXPECT_EQ(end.exchange->completed(), 1u);
    EXPECT_FALSE(end.exchange->exchanging());
  }
  t.Run(60s);
  EXPECT_EQ(t.ends[0].sent.size(), 3u) << "something was sent without need";
}

TEST(ExchangeTest, IndicationsGoUnderTheStaticKeyAlways) {
  TwoEnds t;
  t.Start(0);
  t.Start(1);
  t.Run(1s);
  t.Apply(0, t.ends[0].exchange->OnSendLimit(t.now));
  t.Run(1s);
  EXPECT_EQ(t.ends[0].exchange->completed(), 2u);
  for (const auto& flight : t.captured) {
    if (flight.kind == Kind::kIndication) {
      EXPECT_FALSE(HasKeyFlag(flight.packet.data()));
    }
  }
}

TEST(ExchangeTest, AnUnknownPeerIsAnsweredOnceItIsKnown) {
  TwoEnds t;
  t.start_on_block = true;
  t.Run(5s);
  EXPECT_TRUE(t.captured.empty());
  t.Start(0);
  t.Run(30ms);
  EXPECT_TRUE(t.Up());
}

// One end starts before the other: the network says that nobody listens, and then somebody does.
TEST(ExchangeTest, APeerThatStartsLaterIsOfferedOurKeySoon) {
  for (const Duration later : {Duration(20ms), Duration(240ms), Duration(3s)}) {
    TwoEnds t;
    t.lose = [&](const TwoEnds::Flight& f) {
      if (f.to == 0 || t.ends[1].exchange->started()) return false;
      t.Apply(0, t.ends[0].exchange->OnNetworkError(t.now));
      return true;
    };
    t.Start(0);
    t.Run(later);
    t.Start(1);
    t.Run(300ms);
    EXPECT_TRUE(t.Up()) << ToNanos(FromNanos(0) + later);
  }
}

// The first, second ... of each kind, in either direction, is lost: the exchange ends all the same,
// long before tokxc, and no data is lost.
TEST(ExchangeTest, AnyLostMessageIsMadeUpForSoon) {
  for (const Kind kind : {Kind::kIndication, Kind::kAcknowledge}) {
    for (int to = 0; to < 2; ++to) {
      for (int many = 1; many <= 3; ++many) {
        SCOPED_TRACE(
            absl::StrCat("kind ", static_cast<int>(kind), " to ", to, ", ", many, " lost"));
        TwoEnds t;
        int lost = 0;
        t.lose = [&](const TwoEnds::Flight& f) {
          return f.kind == kind && f.to == to && lost < many && ++lost > 0;
        };
        t.on_step = [&] {
          if (ToNanos(t.now) % 20'000'000 == 0) {
            t.SendData(0);
            t.SendData(1);
          }
        };
        t.Start(0);
        t.Start(1);
        t.Run(4s);
        EXPECT_EQ(lost, many);
        EXPECT_TRUE(t.Up());
        t.on_step = nullptr;
        t.Run(1s);
        for (int i = 0; i < 2; ++i) {
          ASSERT_EQ(t.ends[i].numbers.size(), t.ends[1 - i].next_number);
          EXPECT_TRUE(std::is_sorted(t.ends[i].numbers.begin(), t.ends[i].numbers.end()));
          EXPECT_EQ(t.ends[i].static_data, 0);
        }
      }
    }
  }
}

TEST(ExchangeTest, AFreshKeyEveryTokxcWhileNobodyAnswers) {
  Timing timing;
  timing.tokxc = 10s;
  TwoEnds t(timing);
  t.lose = [](const auto&) { return true; };
  t.Start(0);
  t.Run(60s);
  std::set<std::string> keys;
  for (auto& flight : t.captured) {
    OpenJob job{flight.packet.data(), static_cast<uint32_t>(flight.packet.size())};
    LinkReport report;
    t.ends[1].link->Open(absl::MakeSpan(&job, 1), t.now, &report);
    Block block;
    ASSERT_EQ(ReadBlock(absl::MakeConstSpan(job.packet.payload, job.packet.size), &block), 0);
    ASSERT_EQ(block.kind, Kind::kIndication);
    keys.insert(ToHex(block.key.UnsafeBytes()));
  }
  EXPECT_EQ(keys.size(), 6u);
  EXPECT_EQ(t.captured.size(), 6u * 6u);  // at 0, 0.25, 0.75, 1.75, 3.75, 7.75 of each ten seconds
}

TEST(ExchangeTest, AfterANetworkErrorOnlyEveryTokxc) {
  TwoEnds t;
  t.lose = [&](const TwoEnds::Flight& f) {
    t.Apply(1 - f.to, t.ends[1 - f.to].exchange->OnNetworkError(t.now));
    return true;
  };
  t.Start(0);
  t.Run(60s);
  EXPECT_EQ(t.captured.size(), 6u);
  EXPECT_EQ(t.ends[0].exchange->errors(), 6);
}

// tokey of two seconds under traffic in both directions, with a wire that loses a third of all
// exchange messages: what the wire let through is delivered, all of it.
TEST(ExchangeTest, RekeyingUnderTrafficLosesNothing) {
  Timing timing;
  timing.tokey = 2s;
  TwoEnds t(timing);
  CountingRng dice(9);
  t.lose = [&](const TwoEnds::Flight& f) { return f.kind.has_value() && dice.U32() % 3 == 0; };
  t.on_step = [&] {
    if (ToNanos(t.now) % 4'000'000 == 0) {
      t.SendData(0);
      t.SendData(1);
    }
  };
  t.Start(0);
  t.Start(1);
  t.Run(120s);
  t.on_step = nullptr;
  t.lose = nullptr;
  t.Run(15s);
  for (int i = 0; i < 2; ++i) {
    EXPECT_GT(t.ends[i].exchange->completed(), 30u);
    EXPECT_EQ(t.ends[i].numbers.size(), t.ends[1 - i].next_number);
    EXPECT_TRUE(std::is_sorted(t.ends[i].numbers.begin(), t.ends[i].numbers.end()));
    EXPECT_EQ(t.ends[i].static_data, 0);
    EXPECT_EQ(t.ends[i].drops.count(cipe_drop_rx_classic_no_key), 0u);
    EXPECT_EQ(t.ends[i].drops.count(cipe_drop_rx_classic_crc), 0u);
  }
}

TEST(ExchangeTest, ARestartedPeerIsBackWithinARoundTripOrTwo) {
  for (const bool quiet : {false, true}) {
    TwoEnds t;
    t.Start(0);
    t.Start(1);
    t.Run(5s);
    t.Restart(1);
    t.Start(1);
    t.SendData(quiet ? 1 : 0);
    t.Run(40ms);
    EXPECT_TRUE(t.ends[1].link->has_send_key()) << quiet;
    // End 0 still sends under a key that end 1 does not have, until it sends.
    t.SendData(0);
    t.Run(40ms);
    EXPECT_TRUE(t.Up()) << quiet;
    t.SendData(0);
    t.SendData(1);
    t.Run(20ms);
    EXPECT_FALSE(t.ends[1].numbers.empty());
    EXPECT_FALSE(t.ends[0].numbers.empty());
  }
}

TEST(ExchangeTest, ALostRequestIsRepeated) {
  TwoEnds t;
  t.Start(0);
  t.Start(1);
  t.Run(1s);
  t.Restart(1);
  // End 1 is not started: it only asks.
  t.ends[1].exchange->Start(t.now);
  int lost = 0;
  t.lose = [&](const TwoEnds::Flight& f) { return f.kind == Kind::kRequest && ++lost <= 2; };
  t.on_step = [&] {
    if (ToNanos(t.now) % 100'000'000 == 0) t.SendData(0);
  };
  t.Run(5s);
  EXPECT_EQ(lost, 3);
  EXPECT_TRUE(t.ends[1].link->has_receive_key());
}

TEST(ExchangeTest, AReplayedIndicationIsNotInstalledAgain) {
  Timing timing;
  timing.tokey = 1s;
  TwoEnds t(timing);
  t.on_step = [&] {
    if (ToNanos(t.now) % 10'000'000 == 0) {
      t.SendData(0);
      t.SendData(1);
    }
  };
  t.Start(0);
  t.Start(1);
  t.Run(10s);
  const auto recorded = t.captured;
  const auto before = t.ends[1].exchange->receive_since();
  int indications = 0;
  for (const auto& flight : recorded) {
    if (flight.kind != Kind::kIndication) continue;
    ++indications;
    t.Arrive(1, flight.packet);  // its own and the peer's: reflection does no better
  }
  EXPECT_GT(indications, 10);
  // The current one is acknowledged again, all others are old.
  EXPECT_EQ(t.ends[1].drops[cipe_drop_rx_classic_old_key], indications - 1);
  EXPECT_EQ(t.ends[1].exchange->receive_since(), before);
  EXPECT_FALSE(t.ends[1].log.empty());
  t.Run(5s);
  EXPECT_EQ(t.ends[1].drops.count(cipe_drop_rx_classic_crc), 0u);
}

TEST(ExchangeTest, AnAcknowledgementOfAnotherKeyIsIgnored) {
  TwoEnds t;
  t.Start(0);
  Block ack;
  ack.kind = Kind::kAcknowledge;
  ack.key_crc = 0x12345678;
  t.Apply(0, t.ends[0].exchange->OnBlock(ack, Under::kStatic, t.now, {}));
  EXPECT_EQ(t.ends[0].drops[cipe_drop_rx_classic_ack], 1);
  EXPECT_FALSE(t.ends[0].link->has_send_key());
}

TEST(ExchangeTest, RequestsInAFloodAreAnsweredOnceASecond) {
  TwoEnds t;
  t.Start(0);
  t.Start(1);
  t.Run(2s);
  const int before = Count(t.ends[0].sent, Kind::kIndication);
  Block request;
  request.kind = Kind::kRequest;
  t.on_step = [&] { t.Apply(0, t.ends[0].exchange->OnBlock(request, Under::kStatic, t.now, {})); };
  t.Run(3s);
  EXPECT_EQ(Count(t.ends[0].sent, Kind::kIndication) - before, 3);
  EXPECT_GT(t.ends[0].drops[cipe_drop_rx_classic_too_often], 2900);
}

TEST(ExchangeTest, TimestampsOutsideTheWindow) {
  Timing timing;
  timing.tokxts = 30s;
  for (const int64_t off : {-31, -30, 0, 30, 31}) {
    TwoEnds t(timing);
    Block ping;
    ping.kind = Kind::kPing;
    ping.timestamp = static_cast<uint32_t>(1'700'000'000 + off);
    t.Apply(0, t.ends[0].exchange->OnBlock(ping, Under::kStatic, t.now,
                                           WallTime{1'700'000'000'000'000'000}));
    const bool good = off >= -30 && off <= 30;
    EXPECT_EQ(t.ends[0].drops[cipe_drop_rx_classic_timestamp], good ? 0 : 1) << off;
    EXPECT_EQ(t.ends[0].sent.size(), good ? 1u : 0u) << off;
  }
  // A block too short for a time stamp fails the test; with the test off nothing is asked for.
  Block bare;
  bare.kind = Kind::kPing;
  TwoEnds strict(timing), tolerant;
  strict.Apply(0, strict.ends[0].exchange->OnBlock(bare, Under::kStatic, strict.now, {}));
  tolerant.Apply(0, tolerant.ends[0].exchange->OnBlock(bare, Under::kStatic, tolerant.now, {}));
  EXPECT_TRUE(strict.ends[0].sent.empty());
  EXPECT_EQ(tolerant.ends[0].sent.size(), 1u);
}

TEST(ExchangeTest, TheReceivingLimitAsksForAKeyAndForgetsTheOldOne) {
  Timing timing;
  timing.tokey = 4s;
  TwoEnds t(timing);
  t.Start(0);
  t.Start(1);
  t.Run(1s);
  // End 0's machine is deaf to its own limit: it goes on under the old key past twice tokey.
  t.on_step = [&] {
    if (ToNanos(t.now) % 100'000'000 != 0) return;
    std::vector<uint8_t> packet(SealedSize(40));
    Assemble(PacketType::kData, std::vector<uint8_t>(40), *t.ends[0].rng, packet.data());
    const CbcPacket cbc{packet.data(), static_cast<uint32_t>(packet.size())};
    LinkReport unheard;
    if (t.ends[0].link->SealData(absl::MakeConstSpan(&cbc, 1), t.now, &unheard)) {
      t.Arrive(1, packet);
    }
  };
  t.Run(8s);
  EXPECT_EQ(Count(t.ends[1].sent, Kind::kRequest), 1);
  EXPECT_EQ(t.ends[0].exchange->completed(), 2u);
  EXPECT_TRUE(t.Up());
}

TEST(ExchangeTest, PingsAreAnsweredAndMissesCount) {
  Timing timing;
  timing.ping = 2s;
  timing.toping = 1s;
  timing.max_errors = 3;
  TwoEnds t(timing);
  t.Start(0);
  t.Start(1);
  t.Run(21s);
  EXPECT_EQ(Count(t.ends[0].sent, Kind::kPing), 10);
  EXPECT_EQ(Count(t.ends[1].sent, Kind::kPong), 10);
  EXPECT_EQ(t.ends[0].exchange->errors(), 0);
  t.lose = [](const auto&) { return true; };
  t.Run(7s);
  EXPECT_EQ(t.ends[0].exchange->errors(), 3);
  EXPECT_TRUE(t.ends[0].ended.empty());
  t.Run(2s);
  EXPECT_THAT(t.ends[0].ended, testing::HasSubstr("maxerr is 3"));
}

TEST(ExchangeTest, APongTakesErrorsAway) {
  Timing timing;
  timing.ping = 1s;
  timing.toping = 1s;
  timing.max_errors = 2;
  TwoEnds t(timing);
  int n = 0;
  t.lose = [&](const TwoEnds::Flight& f) { return f.kind == Kind::kPing && ++n % 3 != 0; };
  t.Start(0);
  t.Run(60s);
  EXPECT_TRUE(t.ends[0].ended.empty()) << t.ends[0].ended;
}

TEST(ExchangeTest, MissesDoNotCountWithoutToping) {
  Timing timing;
  timing.ping = 1s;
  timing.max_errors = 0;
  TwoEnds t(timing);
  t.lose = [](const auto&) { return true; };
  t.Start(0);
  t.Run(60s);
  EXPECT_EQ(Count(t.ends[0].sent, Kind::kPing), 59);
  EXPECT_TRUE(t.ends[0].ended.empty());
}

TEST(ExchangeTest, SpecialValuesOfMaxerr) {
  for (const int max_errors : {-1, 0, 1, 8}) {
    Timing timing;
    timing.max_errors = max_errors;
    TwoEnds t(timing);
    t.Start(0);
    int borne = 0;
    for (; borne < 100 && t.ends[0].ended.empty(); ++borne) {
      t.Apply(0, t.ends[0].exchange->OnNetworkError(t.now));
      EXPECT_TRUE(t.ends[0].ended.empty()) << "the peer was given no last chance";
      t.now += 1s;
      t.Apply(0, t.ends[0].exchange->Tick(t.now));
    }
    EXPECT_EQ(borne, max_errors < 0 ? 100 : max_errors + 1) << max_errors;
  }
}

TEST(ExchangeTest, APeerThatIsHeardTakesErrorsAway) {
  Timing timing;
  timing.max_errors = 3;
  TwoEnds t(timing);
  t.Start(0);
  t.Start(1);
  t.Run(1s);
  for (int i = 0; i < 50; ++i) {
    t.Apply(0, t.ends[0].exchange->OnNetworkError(t.now));
    t.now += 1100ms;
    if (i % 3 == 2) t.ends[0].exchange->Heard(t.now - 1ms);
    t.Apply(0, t.ends[0].exchange->Tick(t.now));
    ASSERT_TRUE(t.ends[0].ended.empty()) << i;
  }
  // What came before the error says nothing.
  for (int i = 0; i < 5; ++i) {
    t.Apply(0, t.ends[0].exchange->OnNetworkError(t.now));
    t.ends[0].exchange->Heard(t.now - 1ms);
    t.now += 1100ms;
    t.Apply(0, t.ends[0].exchange->Tick(t.now));
  }
  EXPECT_FALSE(t.ends[0].ended.empty());
}

TEST(ExchangeTest, WhatCannotBeOpenedIsAskedAboutNowAndThen) {
  TwoEnds t;
  t.Start(0);
  t.Start(1);
  t.Run(1s);
  const int before = Count(t.ends[0].sent, Kind::kRequest);
  for (int i = 0; i < 20; ++i) {
    t.Apply(0, t.ends[0].exchange->OnBadPackets(t.now));
    t.Run(1s);
  }
  EXPECT_EQ(Count(t.ends[0].sent, Kind::kRequest) - before, 4);
}

TEST(ExchangeTest, ErrorsInABurstCountOnce) {
  TwoEnds t;
  t.Start(0);
  for (int i = 0; i < 1000; ++i) {
    t.Apply(0, t.ends[0].exchange->OnNetworkError(t.now));
    t.now += 1ms;
  }
  EXPECT_EQ(t.ends[0].exchange->errors(), 1);
}

TEST(ExchangeTest, ACompletedExchangeTakesErrorsAway) {
  TwoEnds t;
  t.Start(0);
  for (int i = 0; i < 5; ++i, t.now += 1s) t.Apply(0, t.ends[0].exchange->OnNetworkError(t.now));
  t.Start(1);
  t.Run(10s);
  EXPECT_TRUE(t.Up());
  EXPECT_EQ(t.ends[0].exchange->errors(), 0);
}

TEST(ExchangeTest, KillIsIgnoredUnlessAllowed) {
  Block kill;
  kill.kind = Kind::kKill;
  for (const bool allowed : {false, true}) {
    Policy policy;
    policy.kill = allowed;
    TwoEnds t({}, policy);
    t.Apply(0, t.ends[0].exchange->OnBlock(kill, Under::kDynamic, t.now, {}));
    EXPECT_EQ(t.ends[0].ended.empty(), !allowed);
    EXPECT_EQ(t.ends[0].drops[cipe_drop_rx_classic_kill], allowed ? 0 : 1);
  }
}

// Zero switches a limit off: no fresh key, no end of life.
TEST(ExchangeTest, ZeroMeansNoTimeout) {
  Timing timing;
  timing.tokxc = 0s;
  timing.tokey = 0s;
  TwoEnds t(timing);
  t.lose = [](const auto&) { return true; };
  t.Start(0);
  t.Run(100s);
  EXPECT_LT(t.captured.size(), 20u);
  t.lose = nullptr;
  t.Start(1);
  t.Run(9s);
  EXPECT_TRUE(t.Up());
  const uint64_t completed = t.ends[0].exchange->completed();
  t.now += 24h * 365;
  t.SendData(0);
  t.Run(1s);
  EXPECT_EQ(t.ends[0].exchange->completed(), completed);
  EXPECT_EQ(t.ends[1].numbers.size(), 1u);
}

}  // namespace
}  // namespace cipe::classic
