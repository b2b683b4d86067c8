// Time stamps of our initiations and of those we took. docs/protocol.md, section 4.5.
//
// A stamp goes to one peer once and rises from one to the next. All stamps of an identity (own
// public key, or shared key) have one reservation on the disk, which covers whatever is sent to
// whom: so a crash repeats none, and tunnels that share the identity cannot either.
//
// No clock, no I/O: Ask says what has to be written, and Granted that it was.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "protocol/tai64n.h"

namespace cipe::engine {

// One end of ours and one of a peer.
struct StampPair {
  protocol::Tai64n sent;      // our last, or what others may have sent before us
  protocol::Tai64n received;  // greatest accepted
};

class Sender {
 public:
  // Ahead of the clock, so that one write serves many initiations; this is what a crash may cost.
  static constexpr auto kAhead = std::chrono::seconds(10);
  // Ahead of a stamp when stamps are ahead of the clock: it was set back, or we crash again and
  // again. Each crash costs no more than this then.
  static constexpr auto kAheadOfStamp = std::chrono::milliseconds(200);

  // Nothing up to `sent` is used again; all up to `reserved` may be used. May come again, for
  // another tunnel, and never takes anything back.
  void Start(const protocol::Tai64n& sent, const protocol::Tai64n& reserved);

  // The pair with this peer; lives as long as the sender.
  StampPair* PairWith(const std::array<uint8_t, 32>& peer);

  // The stamp to use at `wall` for this pair, near the clock. Null while the disk has to be asked.
  // `waited` for the disk: then the clock may have passed what was asked for, and an older stamp
  // does; slow disks must not make us ask for ever.
  std::optional<protocol::Tai64n> Next(const StampPair& pair, WallTime wall, bool waited) const;
  // What must be on disk before Next is tried again, `asker` being a number of the caller's; null
  // when somebody waits for it already.
  std::optional<protocol::Tai64n> Ask(const StampPair& pair, WallTime wall, uint32_t asker);
  // Whether that is what `asker` asked for and waits for.
  bool Waits(uint32_t asker, const protocol::Tai64n& reserved) const {
    return asker_ == asker && asked_ == reserved;
  }
  // The answer: all up to `reserved` may be used.
  void Granted(const protocol::Tai64n& reserved);
  // The answer will not come, or is no.
  void Refused(uint32_t asker);
  // To be said to the broker before the frame with this stamp goes out.
  void Used(StampPair& pair, const protocol::Tai64n& stamp);

  const protocol::Tai64n& sent() const { return sent_; }
  const protocol::Tai64n& reserved() const { return reserved_; }

 private:
  protocol::Tai64n sent_;  // greatest of all pairs
  protocol::Tai64n reserved_;
  std::optional<uint32_t> asker_;
  protocol::Tai64n asked_;
  std::map<std::array<uint8_t, 32>, StampPair> pairs_;
};

// Senders by identity, each for as long as somebody holds it.
class Senders {
 public:
  // Public key (32 octets) or key id (8).
  std::shared_ptr<Sender> Of(absl::Span<const uint8_t> identity);

 private:
  std::map<std::vector<uint8_t>, std::weak_ptr<Sender>> senders_;
  size_t sweep_at_ = 64;  // entries of senders that are gone are looked for at this size
};

}  // namespace cipe::engine
