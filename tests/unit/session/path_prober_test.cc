// The prober on a simulated path: it answers probes that fit, after a round trip, with losses.
#include "session/path_prober.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cipe::session {
namespace {

using namespace std::chrono_literals;

struct PathSim {
  uint32_t fits = 1440;  // greatest size that gets through
  Duration rtt = 20ms;
  double loss = 0;
  bool dead = false;
  bool sending = true;
  bool large = true;
  bool hears = true;  // other traffic comes back

  PathProber prober;
  Instant now{1000s};
  Instant data_sent{}, received{};
  std::mt19937 random{1};
  std::vector<std::pair<Instant, PathProbe>> answers;
  size_t sent = 0, largest_round = 0;
  uint64_t sent_octets = 0;
  uint32_t smallest_limit = UINT32_MAX;

  explicit PathSim(uint32_t most = 1440, PathMtuSource source = PathMtuSource::kInterface) {
    prober.Start({most, 516, 60, source});
  }

  void Run(Duration span) {
    const Instant end = now + span;
    while (now < end) {
      if (sending) data_sent = now;
      if (sending && hears && !dead) received = now;
      for (size_t i = 0; i < answers.size();) {
        if (answers[i].first > now) {
          ++i;
          continue;
        }
        received = now;
        prober.Answered(answers[i].second.id, answers[i].second.size, now);
        answers.erase(answers.begin() + static_cast<ptrdiff_t>(i));
      }
      std::vector<PathProbe> probes;
      prober.Tick(now, {data_sent, received, large}, &probes);
      largest_round = std::max(largest_round, probes.size());
      for (const PathProbe& p : probes) {
        ++sent;
        sent_octets += p.size;
        EXPECT_NE(p.id & kProbeIdBit, 0u);
        const bool lost = std::uniform_real_distribution<>(0, 1)(random) < loss;
        if (!dead && !lost && p.size <= fits) answers.push_back({now + rtt, p});
      }
      smallest_limit = std::min(smallest_limit, prober.limit());
      now += 5ms;
    }
  }
};

TEST(PathProber, AWidePathIsConfirmedAndStays) {
  PathSim path;
  path.Run(60s);
  EXPECT_EQ(path.prober.limit(), 1440u);
  EXPECT_EQ(path.prober.source(), PathMtuSource::kInterface);
  EXPECT_EQ(path.smallest_limit, 1440u);
  EXPECT_GE(path.sent, 15u);
  EXPECT_LE(path.sent, 25u) << "one every three seconds";
}

TEST(PathProber, NothingIsProbedWhileNothingIsSent) {
  PathSim path;
  path.sending = false;
  path.Run(600s);
  EXPECT_EQ(path.sent, 0u);
  path.sending = true;
  path.Run(1s);
  EXPECT_EQ(path.sent, 1u);
  path.sending = false;
  path.Run(600s);
  EXPECT_LE(path.sent, 2u);
}

TEST(PathProber, SmallPacketsAreProbedRarely) {
  PathSim path;
  path.large = false;
  path.Run(300s);
  EXPECT_LE(path.sent, 12u);
}

TEST(PathProber, FindsANarrowPathWithoutAWord) {
  for (uint32_t fits = 516; fits <= 1439; fits += 7) {
    PathSim path;
    path.fits = fits;
    path.Run(4s);
    EXPECT_LE(path.prober.limit(), fits);
    EXPECT_GE(path.prober.limit() + PathProber::kGranularity, fits) << fits;
    EXPECT_EQ(path.prober.source(), PathMtuSource::kProbe);
    EXPECT_LE(path.largest_round, PathProber::kMostPerRound);
  }
}

TEST(PathProber, LargePathsToo) {
  PathSim path(65000);
  path.fits = 8940;
  path.Run(4s);
  EXPECT_LE(path.prober.limit(), 8940u);
  EXPECT_GE(path.prober.limit() + PathProber::kGranularity, 8940u);
}

TEST(PathProber, APathThatShrinksInMidConnection) {
  PathSim path;
  path.Run(10s);
  ASSERT_EQ(path.prober.limit(), 1440u);
  path.fits = 1300;
  path.Run(5s);
  EXPECT_LE(path.prober.limit(), 1300u);
  EXPECT_GE(path.prober.limit(), 1292u);
}

TEST(PathProber, SilenceIsSuspectedSooner) {
  PathSim path;
  path.large = false;
  path.Run(10s);
  path.fits = 1300;
  path.hears = false;  // the one connection there is sends what is lost
  path.Run(3s);
  EXPECT_LE(path.prober.limit(), 1300u);
}

TEST(PathProber, ADeadPathSaysNothingAboutSizes) {
  PathSim path;
  path.Run(10s);
  path.dead = true;
  path.Run(120s);
  EXPECT_EQ(path.prober.limit(), 1440u);
  EXPECT_LT(path.sent, 600u) << "and gets few probes";
  path.dead = false;
  path.Run(20s);
  EXPECT_EQ(path.prober.limit(), 1440u);
}

TEST(PathProber, SlowPaths) {
  for (const Duration rtt : {0ms, 300ms, 700ms, 2000ms}) {
    PathSim wide;
    wide.rtt = rtt;
    wide.Run(60s);
    EXPECT_EQ(wide.prober.limit(), 1440u) << rtt.count();
    PathSim narrow;
    narrow.rtt = rtt;
    narrow.fits = 1200;
    narrow.Run(90s);
    EXPECT_LE(narrow.prober.limit(), 1200u) << rtt.count();
    EXPECT_GE(narrow.prober.limit(), 1192u) << rtt.count();
  }
}

TEST(PathProber, LossDoesNotLastLong) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    PathSim path;
    path.random.seed(seed);
    path.loss = 0.1;
    path.Run(60s);
    path.loss = 0;
    path.Run(130s);  // a search that loss misled is made good by the next raise
    EXPECT_EQ(path.prober.limit(), 1440u) << seed;
    EXPECT_EQ(path.prober.source(), PathMtuSource::kInterface);
  }
}

TEST(PathProber, AHintIsTakenWhenProbesAgree) {
  PathSim path;
  path.Run(10s);
  path.fits = 1337;
  path.prober.Hint(1337, path.now);
  path.Run(500ms);
  EXPECT_EQ(path.prober.limit(), 1337u) << "to the octet";
  EXPECT_EQ(path.prober.source(), PathMtuSource::kIcmp);
}

TEST(PathProber, AForgedHintChangesNothingAndCostsLittle) {
  PathSim path;
  path.Run(10s);
  const size_t before = path.sent;
  for (int i = 0; i < 1000; ++i) {
    path.prober.Hint(i % 2 == 0 ? 0 : 600, path.now);
    path.Run(10ms);
  }
  EXPECT_EQ(path.smallest_limit, 1440u);
  EXPECT_LE(path.sent - before, 40u) << "in ten seconds";
}

TEST(PathProber, NobodyBringsItBelowTheLeast) {
  PathSim path;
  path.Run(1s);
  path.fits = 100;
  path.prober.Hint(68, path.now);
  path.Run(60s);
  EXPECT_GE(path.prober.limit(), 516u);
}

TEST(PathProber, ComesBackUpWhenThePathDoes) {
  PathSim path;
  path.fits = 1000;
  path.Run(10s);
  EXPECT_LE(path.prober.limit(), 1000u);
  path.fits = 1200;
  path.Run(PathProber::kRaise + 5s);
  EXPECT_GE(path.prober.limit(), 1192u);
  path.fits = 1440;
  path.Run(PathProber::kRaise + 5s);
  EXPECT_EQ(path.prober.limit(), 1440u);
  EXPECT_EQ(path.prober.source(), PathMtuSource::kInterface);
}

TEST(PathProber, AnswersOfAnotherPathOrSizeAreNotTaken) {
  PathProber prober;
  prober.Start({1440, 516, 60, PathMtuSource::kInterface});
  std::vector<PathProbe> probes;
  prober.Tick(Instant(10s), {Instant(9s), Instant(9s), true}, &probes);
  ASSERT_EQ(probes.size(), 1u);
  const PathProbe old = probes[0];
  prober.Start({1400, 516, 60, PathMtuSource::kRoute});
  EXPECT_EQ(prober.limit(), 1400u);
  prober.Answered(old.id, old.size, Instant(11s));
  prober.Answered(12345, 1400, Instant(11s));
  prober.Answered(kProbeIdBit, 0, Instant(11s));
  probes.clear();
  prober.Tick(Instant(12s), {Instant(11s), Instant(11s), true}, &probes);
  ASSERT_EQ(probes.size(), 1u) << "nothing is confirmed yet";
  prober.Answered(probes[0].id, 1399, Instant(12s));
  probes.clear();
  prober.Tick(Instant(13s), {Instant(12s), Instant(12s), true}, &probes);
  EXPECT_EQ(probes.size(), 1u) << "an answer that saw another size is none";
}

// Random networks: the limit stays within bounds, and probing is bounded whatever happens.
TEST(PathProber, RandomPaths) {
  std::mt19937 random(5);
  for (int i = 0; i < 60; ++i) {
    PathSim path(600 + random() % 60000);
    path.random.seed(static_cast<uint32_t>(i));
    for (int step = 0; step < 20; ++step) {
      path.fits = static_cast<uint32_t>(random() % 2000);
      path.loss = (random() % 4) * 0.1;
      path.dead = random() % 5 == 0;
      path.rtt = std::chrono::milliseconds(random() % 500);
      if (random() % 3 == 0) path.prober.Hint(static_cast<uint32_t>(random() % 2000), path.now);
      const size_t before = path.sent;
      path.Run(5s);
      EXPECT_GE(path.prober.limit(), 516u);
      EXPECT_LE(path.prober.limit(), path.prober.facts().most);
      EXPECT_LE(path.sent - before, 400u);
    }
    EXPECT_LE(path.largest_round, PathProber::kMostPerRound);
  }
}

}  // namespace
}  // namespace cipe::session
