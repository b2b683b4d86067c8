#include "base/clock.h"

#include <time.h>

namespace cipe {
namespace {

int64_t Read(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

Instant SystemClock::Now() const { return FromNanos(Read(CLOCK_BOOTTIME)); }
WallTime SystemClock::Wall() const { return WallTime{Read(CLOCK_REALTIME)}; }

}  // namespace cipe
