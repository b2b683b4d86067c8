// Which entries of cipe_lane_state are in use.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace cipe::engine {

class LaneSlots {
 public:
  explicit LaneSlots(uint32_t slots) : used_(slots, false) {}

  // First of `count` neighbouring free entries, now taken.
  std::optional<uint32_t> Take(uint32_t count) {
    uint32_t run = 0;
    for (uint32_t looked = 0; looked < used_.size(); ++looked) {
      if (next_ >= used_.size()) {
        next_ = 0;
        run = 0;
      }
      run = used_[next_] ? 0 : run + 1;
      ++next_;
      if (run == count) {
        Mark(next_ - count, count, true);
        return next_ - count;
      }
    }
    return std::nullopt;
  }
  // Takes known ones, after a take-over.
  void TakeAt(uint32_t first, uint32_t count) { Mark(first, count, true); }
  void Give(uint32_t first, uint32_t count) { Mark(first, count, false); }

 private:
  void Mark(uint32_t first, uint32_t count, bool used) {
    for (uint32_t i = first; i < first + count && i < used_.size(); ++i) used_[i] = used;
  }
  std::vector<bool> used_;
  uint32_t next_ = 0;
};

}  // namespace cipe::engine
