// TAI64N time stamps of initiations (https://cr.yp.to/libtai/tai64.html): 8 octets of seconds and 4
// of nanoseconds, big-endian, so that octet order is time order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "absl/types/span.h"
#include "base/clock.h"

namespace cipe::protocol {

inline constexpr size_t kTai64nSize = 12;
// Stamps are rounded down to this, so that they tell little about the sender's clock.
inline constexpr int64_t kTai64nGranularityNs = 20'000'000;

struct Tai64n {
  std::array<uint8_t, kTai64nSize> octets{};

  // Rounded down to a multiple of 20 ms. Times before 1970 become 1970.
  static Tai64n FromWall(WallTime wall);
  static Tai64n FromSpan(absl::Span<const uint8_t> twelve);
  // The nanosecond part is below 10^9 and the time lies within 1970..2262 (int64_t nanoseconds).
  bool IsValid() const;
  // Nanoseconds since 1970 on the same scale as FromWall; 0 when !IsValid().
  int64_t UnixNanos() const;
  // Later (or earlier) by `d`, kept within 1970..2262. Rounded like FromWall.
  Tai64n Plus(Duration d) const;

  friend auto operator<=>(const Tai64n&, const Tai64n&) = default;
};

}  // namespace cipe::protocol
