// Finds how large a packet one path carries, by probes inside the tunnel that are answered or not,
// as RFC 8899 (DPLPMTUD) does for datagram protocols. No I/O, no clock: sizes to send come out,
// answers go in. Sizes are those of inner packets in octets, which is the plaintext of a probe.
//
//   confirm   the current size, while something is sent: every few seconds when packets are large,
//             sooner when nothing comes back
//   ladder    two answers missing, or a hint: the current size and smaller ones at once. The
//             size is lowered only when smaller ones are answered and it is not, twice (a black
//             hole); a path that answers nothing at all says nothing about sizes
//   search    after that, upwards: the old size first (loss can look like a black hole), then by
//             bisection
//   raise     every kRaise the greatest size again, then by bisection
//
// What ICMP says is a hint that anybody can forge: it starts a ladder, no more. Nothing is probed
// while nothing is sent, and at most kMostPerRound probes are under way.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace cipe::session {

// How the limit of a path is known.
enum class PathMtuSource : uint8_t {
  kInterface,  // the MTU of the carrier, or our own tunnel interface's
  kRoute,      // the MTU of the route to the peer
  kIcmp,       // ICMP said so, and probes agreed
  kProbe,      // probes alone
  kPeer,       // the peer takes no more
};
const char* PathMtuSourceName(PathMtuSource source);

// Of echo requests that are probes; liveness uses ids without it.
inline constexpr uint64_t kProbeIdBit = uint64_t{1} << 63;

struct PathFacts {
  uint32_t most = 0;      // what interface, route and both ends allow
  uint32_t least = 0;     // never lowered below
  uint32_t overhead = 0;  // of outer headers and frame: IP packet less inner packet
  PathMtuSource source = PathMtuSource::kInterface;  // of `most`
  friend bool operator==(const PathFacts&, const PathFacts&) = default;
};

struct PathActivity {
  Instant data_sent{};  // last inner packet sent
  Instant received{};   // last authenticated frame
  bool large = false;   // packets sent lately were large ones
};

struct PathProbe {
  uint64_t id = 0;
  uint32_t size = 0;
};

class PathProber {
 public:
  static constexpr size_t kMostPerRound = 16;
  static constexpr Duration kConfirmLarge = std::chrono::seconds(3);
  static constexpr Duration kConfirmSmall = std::chrono::seconds(30);
  static constexpr Duration kSuspicion = std::chrono::seconds(1);
  static constexpr Duration kRaise = std::chrono::seconds(120);  // RFC 8899: 600 s
  static constexpr uint32_t kGranularity = 8;  // a search ends when it knows the size to this

  // Another path, or other facts about it: everything learned is forgotten, the limit is the most.
  void Start(const PathFacts& facts);
  const PathFacts& facts() const { return facts_; }

  // Somebody claims that no more than `size` gets through.
  void Hint(uint32_t size, Instant now);
  // An answer to probe `id`, which arrived with `seen` octets. Strange ones are ignored.
  void Answered(uint64_t id, uint32_t seen, Instant now);
  // Appends what is to be sent now; returns when to call again at the latest.
  Instant Tick(Instant now, const PathActivity& activity, std::vector<PathProbe>* out);

  uint32_t limit() const { return limit_; }
  PathMtuSource source() const { return source_; }

 private:
  enum class Phase : uint8_t { kResting, kConfirming, kSearching };
  struct Sent {
    uint64_t id = 0;
    uint32_t size = 0;
    bool answered = false;
    Instant at{};
  };

  bool Due(Instant now, const PathActivity& activity) const;
  void SendRound(Instant now, std::vector<PathProbe>* out);
  void EndRound(Instant now);
  void EndConfirming(uint32_t best, Instant now);
  void EndSearching(bool answered, Instant now);
  void Confirmed(Instant now);
  void Lower(uint32_t best, Instant now);
  void Search(uint32_t low, uint32_t high, uint32_t first_try);
  void Rest(Instant now);
  uint32_t SearchSize() const;
  uint32_t BestOfRound() const;
  uint32_t SmallestUnansweredAbove(uint32_t size) const;
  Duration Timeout() const;

  PathFacts facts_;
  uint32_t limit_ = 0;
  PathMtuSource source_ = PathMtuSource::kInterface;
  Phase phase_ = Phase::kResting;
  uint8_t misses_ = 0;   // of the current size: rounds in which it was not answered
  uint8_t ladders_ = 0;  // rounds in which smaller ones were
  uint8_t silent_ = 0;   // ladders without any answer
  uint32_t ladder_best_ = 0;
  uint32_t ladder_next_ = 0;  // smallest size above it that was not answered
  uint32_t hint_ = 0;         // 0: none
  uint32_t low_ = 0, high_ = 0, first_try_ = 0;
  Instant hints_from_{};    // not heeded before: the last one was wrong
  Instant confirmed_at_{};  // or given up
  Instant raise_at_{};
  Duration dead_rest_{};  // zero: the last try was answered
  Duration rtt_{};        // smoothed; zero: not known
  bool round_open_ = false;
  Instant deadline_{};
  uint64_t next_id_ = 1;
  uint64_t round_first_ = 0;                    // ids below are of earlier rounds
  std::array<Sent, 2 * kMostPerRound> sent_{};  // by id
};

}  // namespace cipe::session
