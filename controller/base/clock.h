// Time as the rest of the tree sees it. Nothing below engine/ reads a clock by itself: `now` is
// passed in.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace cipe {

using Duration = std::chrono::nanoseconds;

// Time since boot, suspend included (CLOCK_BOOTTIME, clock_gettime(2)): session lifetimes must not
// stand still while a laptop sleeps.
struct BootTime {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<BootTime>;
  static constexpr bool is_steady = true;
};
using Instant = BootTime::time_point;

// Nanoseconds since 1970-01-01 UTC; may jump either way.
struct WallTime {
  int64_t unix_ns = 0;
  friend auto operator<=>(const WallTime&, const WallTime&) = default;
};

inline int64_t ToNanos(Instant t) { return t.time_since_epoch().count(); }
inline Instant FromNanos(int64_t ns) { return Instant(Duration(ns)); }

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() const = 0;
  virtual WallTime Wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  Instant Now() const override;
  WallTime Wall() const override;
};

// For simulations: time moves only when told to. Boot time and wall time can be moved apart.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Instant start, WallTime wall) : now_(ToNanos(start)), wall_(wall.unix_ns) {}
  Instant Now() const override { return FromNanos(now_.load()); }
  WallTime Wall() const override { return WallTime{wall_.load()}; }
  void Advance(Duration d) {
    now_ += d.count();
    wall_ += d.count();
  }
  void JumpWall(Duration d) { wall_ += d.count(); }

 private:
  std::atomic<int64_t> now_;
  std::atomic<int64_t> wall_;
};

}  // namespace cipe
