#include "session/path_prober.h"

#include <algorithm>

namespace cipe::session {
namespace {

using namespace std::chrono_literals;

constexpr Instant kNever = Instant::max();
constexpr Duration kFirstTimeout = 300ms;  // while no round trip was measured
constexpr Duration kLeastTimeout = 100ms, kMostTimeout = 5s, kMostPatience = 10s;
constexpr Duration kHintRest = 2s;
constexpr Duration kDeadRest = 2s, kMostDeadRest = 64s;
constexpr int kSingles = 2;     // missing answers before a ladder
constexpr int kLadders = 2;     // that must agree before the size is lowered
constexpr int kMostSilent = 4;  // ladders without any answer before a rest
constexpr int kSearchTries = 2;

// MTUs that paths really have: RFC 1191 section 7, PPPoE, tunnels, mobile networks.
constexpr uint32_t kPlateaus[] = {9000, 4352, 2002, 1500, 1492, 1472, 1454,
                                  1420, 1400, 1350, 1300, 1280, 1006, 576};
static_assert(std::size(kPlateaus) + 2 <= PathProber::kMostPerRound);

}  // namespace

const char* PathMtuSourceName(PathMtuSource source) {
  switch (source) {
    case PathMtuSource::kInterface:
      return "interface";
    case PathMtuSource::kRoute:
      return "route";
    case PathMtuSource::kIcmp:
      return "icmp";
    case PathMtuSource::kProbe:
      return "probe";
    case PathMtuSource::kPeer:
      return "peer";
  }
  return "interface";
}

void PathProber::Start(const PathFacts& facts) {
  const uint64_t next_id = next_id_;  // answers of the path before must not be taken for this one's
  *this = PathProber();
  next_id_ = round_first_ = next_id;
  facts_ = facts;
  facts_.least = std::min(facts.least, facts.most);
  limit_ = facts.most;
  source_ = facts.source;
}

Duration PathProber::Timeout() const {
  const Duration once = rtt_ == Duration::zero()
                            ? kFirstTimeout
                            : std::clamp<Duration>(2 * rtt_ + 50ms, kLeastTimeout, kMostTimeout);
  return std::min<Duration>(once * (1 << std::min<int>(silent_, 5)), kMostPatience);
}

void PathProber::Hint(uint32_t size, Instant now) {
  size = std::max(size, facts_.least);
  if (size >= limit_ || now < hints_from_) return;
  hint_ = size;
  if (phase_ == Phase::kSearching) return;
  if (phase_ == Phase::kConfirming && misses_ >= kSingles) return;  // the next round has it
  phase_ = Phase::kConfirming;
  misses_ = kSingles;
  round_open_ = false;
}

void PathProber::Answered(uint64_t id, uint32_t seen, Instant now) {
  const uint64_t number = id & ~kProbeIdBit;
  Sent& sent = sent_[number % sent_.size()];
  if (sent.id != number || number == 0 || sent.size != seen || sent.answered) return;
  sent.answered = true;
  const Duration trip = now - sent.at;
  rtt_ = rtt_ == Duration::zero() ? trip : (7 * rtt_ + trip) / 8;
  // Late answers count as well: on a slow path they come rounds later.
  if (phase_ == Phase::kConfirming && sent.size >= limit_) return Confirmed(now);
  if (!round_open_ || number < round_first_) return;
  if (phase_ == Phase::kSearching) EndRound(now);
}

void PathProber::Confirmed(Instant now) {
  if (hint_ != 0) hints_from_ = now + kHintRest;
  dead_rest_ = Duration::zero();
  Rest(now);
}

void PathProber::Rest(Instant now) {
  phase_ = Phase::kResting;
  round_open_ = false;
  misses_ = ladders_ = silent_ = 0;
  ladder_best_ = ladder_next_ = 0;
  hint_ = 0;
  confirmed_at_ = now;
}

bool PathProber::Due(Instant now, const PathActivity& activity) const {
  if (activity.data_sent <= confirmed_at_) return false;
  const Duration since = now - confirmed_at_;
  // Nothing was answered, and nothing has been heard since.
  if (since < dead_rest_ && activity.received <= confirmed_at_) return false;
  if (confirmed_at_ == Instant{} || since >= kConfirmSmall) return true;
  if (activity.large && since >= kConfirmLarge) return true;
  return since >= kSuspicion && activity.data_sent > activity.received &&
         now - activity.received >= kSuspicion;
}

uint32_t PathProber::SearchSize() const {
  return first_try_ != 0 ? first_try_ : low_ + (high_ - low_) / 2;
}

void PathProber::SendRound(Instant now, std::vector<PathProbe>* out) {
  round_first_ = next_id_;
  uint32_t smallest = UINT32_MAX;
  // Each size once, falling: what is large must not be overtaken by what is small.
  const auto send = [&](uint32_t size) {
    if (size >= smallest) return;
    smallest = size;
    sent_[next_id_ % sent_.size()] = {next_id_, size, false, now};
    out->push_back({next_id_ | kProbeIdBit, size});
    ++next_id_;
  };
  if (phase_ == Phase::kSearching) {
    send(SearchSize());
  } else {
    send(limit_);
    if (misses_ >= kSingles) {
      if (hint_ != 0) send(hint_);
      for (const uint32_t plateau : kPlateaus) {
        if (hint_ == 0 && plateau > facts_.overhead + facts_.least) send(plateau - facts_.overhead);
      }
      send(facts_.least);
    }
  }
  round_open_ = true;
  deadline_ = now + Timeout();
}

uint32_t PathProber::BestOfRound() const {
  uint32_t best = 0;
  for (const Sent& s : sent_) {
    if (s.id >= round_first_ && s.answered) best = std::max(best, s.size);
  }
  return best;
}

uint32_t PathProber::SmallestUnansweredAbove(uint32_t size) const {
  uint32_t least = limit_;
  for (const Sent& s : sent_) {
    if (s.id >= round_first_ && !s.answered && s.size > size) least = std::min(least, s.size);
  }
  return least;
}

void PathProber::EndRound(Instant now) {
  round_open_ = false;
  const uint32_t best = BestOfRound();
  if (phase_ == Phase::kSearching) return EndSearching(best != 0, now);
  EndConfirming(best, now);
}

void PathProber::EndConfirming(uint32_t best, Instant now) {
  const bool ladder = misses_ >= kSingles;
  if (!ladder) {
    ++misses_;
    return;
  }
  if (best == 0) {
    // Nothing comes back at all: that is no matter of size.
    if (++silent_ < kMostSilent) return;
    dead_rest_ = std::clamp<Duration>(2 * dead_rest_, kDeadRest, kMostDeadRest);
    return Rest(now);
  }
  silent_ = 0;
  if (best >= ladder_best_) {
    ladder_best_ = best;
    ladder_next_ = SmallestUnansweredAbove(best);
  }
  if (++ladders_ >= kLadders) Lower(ladder_best_, now);
}

void PathProber::Lower(uint32_t best, Instant now) {
  const uint32_t before = limit_, next = ladder_next_;
  const bool told = best == hint_;
  Rest(now);
  limit_ = best;
  source_ = told ? PathMtuSource::kIcmp : PathMtuSource::kProbe;
  raise_at_ = now + kRaise;
  if (!told && best < before) Search(best, next, before);
}

void PathProber::Search(uint32_t low, uint32_t high, uint32_t first_try) {
  phase_ = Phase::kSearching;
  misses_ = 0;
  low_ = low;
  high_ = high;
  first_try_ = first_try;
}

void PathProber::EndSearching(bool answered, Instant now) {
  const uint32_t size = SearchSize();
  if (answered) {
    misses_ = 0;
    limit_ = low_ = size;
    const bool all = size >= facts_.most;
    source_ = all ? facts_.source : PathMtuSource::kProbe;
    high_ = first_try_ != 0 ? size : high_;
  } else if (++misses_ < kSearchTries) {
    return;
  } else if (first_try_ == 0) {
    high_ = size;
  }
  misses_ = 0;
  first_try_ = 0;
  if (high_ <= low_ + kGranularity) {
    Rest(now);
    raise_at_ = now + kRaise;
  }
}

Instant PathProber::Tick(Instant now, const PathActivity& activity, std::vector<PathProbe>* out) {
  if (facts_.most <= facts_.least) return kNever;
  if (round_open_ && now < deadline_) return deadline_;
  if (round_open_) EndRound(now);
  if (phase_ == Phase::kResting) {
    if (activity.data_sent <= confirmed_at_) return kNever;
    if (limit_ < facts_.most && now >= raise_at_) {
      Search(limit_, facts_.most, facts_.most);
    } else if (Due(now, activity)) {
      phase_ = Phase::kConfirming;
    } else {
      return kNever;
    }
  }
  SendRound(now, out);
  return deadline_;
}

}  // namespace cipe::session
