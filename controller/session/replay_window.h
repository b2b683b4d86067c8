// Anti-replay window over 64-bit counters, after RFC 6479: a ring of 64-bit blocks with one block
// more than the window needs, so that moving forward clears whole blocks and never shifts bits.
//
// Not thread-safe: one lane's window belongs to whoever holds that lane's receive lock.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "protocol/constants.h"

namespace cipe {

enum class ReplayVerdict : uint8_t { kFresh, kReplayed, kTooOld };

// Counters c with next - kWindow <= c < next are remembered one by one, where next is the greatest
// committed one plus 1; older ones are all refused.
template <uint64_t kWindow = protocol::kReplayWindow>
class ReplayWindow {
 public:
  using Verdict = ReplayVerdict;
  static constexpr uint64_t kSize = kWindow;

  // The cheap pre-check before a frame is opened. Changes nothing.
  Verdict Check(uint64_t counter) const {
    if (counter == kNeverValid) return Verdict::kTooOld;
    if (counter >= next_) return Verdict::kFresh;
    if (next_ - counter > kWindow) return Verdict::kTooOld;
    return (Block(counter) & Bit(counter)) != 0 ? Verdict::kReplayed : Verdict::kFresh;
  }

  // Only after the frame was authenticated. kFresh: the counter is now taken. Otherwise nothing has
  // changed and the frame must be dropped.
  Verdict Commit(uint64_t counter) {
    const Verdict verdict = Check(counter);
    if (verdict != Verdict::kFresh) return verdict;
    if (counter >= next_) Advance(counter);
    blocks_[Index(counter)] |= Bit(counter);
    return Verdict::kFresh;
  }

  // Take-over of a session: every counter below `greatest_plus_one` counts as received, whatever
  // this window knew before. 0 is a fresh window.
  void ResumeAt(uint64_t greatest_plus_one) {
    blocks_.fill(~uint64_t{0});
    next_ = greatest_plus_one;
    // Of the block that `next_` stands in, the counters from there on are still to come. Blocks
    // further on are cleared when the window reaches them.
    blocks_[Index(next_)] = Bit(next_) - 1;
  }

  // Greatest committed counter plus 1; 0 when there is none.
  uint64_t next() const { return next_; }

 private:
  static constexpr uint64_t kBitsPerBlock = 64;
  static constexpr uint64_t kBlocks = kWindow / kBitsPerBlock + 1;
  static_assert(kWindow >= kBitsPerBlock && kWindow % kBitsPerBlock == 0);

  // Accepting 2^64 - 1 would make next_ wrap to 0 and open the whole window again. No suite's
  // packet limit comes near it, so it is refused as a counter that cannot be.
  static constexpr uint64_t kNeverValid = ~uint64_t{0};

  static uint64_t Index(uint64_t counter) { return counter / kBitsPerBlock % kBlocks; }
  static uint64_t Bit(uint64_t counter) { return uint64_t{1} << (counter % kBitsPerBlock); }
  uint64_t Block(uint64_t counter) const { return blocks_[Index(counter)]; }

  // Clears the blocks after the one that holds next_ - 1, up to the one of `counter`.
  void Advance(uint64_t counter) {
    const uint64_t from = next_ == 0 ? 0 : (next_ - 1) / kBitsPerBlock;
    const uint64_t steps = std::min(counter / kBitsPerBlock - from, kBlocks);
    for (uint64_t i = 1; i <= steps; ++i) blocks_[(from + i) % kBlocks] = 0;
    next_ = counter + 1;
  }

  uint64_t next_ = 0;
  std::array<uint64_t, kBlocks> blocks_{};
};

}  // namespace cipe
