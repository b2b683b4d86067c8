#include "protocol/tai64n.h"

#include <algorithm>
#include <limits>

#include "base/bytes.h"

namespace cipe::protocol {
namespace {

// TAI64 label of 1970-01-01 00:00:00 TAI is 2^62; UTC was 10 s behind then. Leap seconds since are
// not counted: both ends count the same way and only the order matters.
constexpr uint64_t kEpochLabel = (uint64_t{1} << 62) + 10;
constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

Tai64n Tai64n::FromWall(WallTime wall) {
  int64_t ns = std::max<int64_t>(wall.unix_ns, 0);
  ns -= ns % kTai64nGranularityNs;
  Tai64n t;
  StoreBe64(t.octets.data(), kEpochLabel + static_cast<uint64_t>(ns / kSecond));
  StoreBe32(t.octets.data() + 8, static_cast<uint32_t>(ns % kSecond));
  return t;
}

Tai64n Tai64n::FromSpan(absl::Span<const uint8_t> twelve) {
  Tai64n t;
  std::copy_n(twelve.begin(), std::min(twelve.size(), t.octets.size()), t.octets.begin());
  return t;
}

bool Tai64n::IsValid() const {
  const uint64_t label = LoadBe64(octets.data());
  const uint32_t nanos = LoadBe32(octets.data() + 8);
  constexpr uint64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / kSecond;
  return nanos < kSecond && label >= kEpochLabel && label - kEpochLabel < kMaxSeconds;
}

int64_t Tai64n::UnixNanos() const {
  if (!IsValid()) return 0;
  return static_cast<int64_t>(LoadBe64(octets.data()) - kEpochLabel) * kSecond +
         LoadBe32(octets.data() + 8);
}

Tai64n Tai64n::Plus(Duration d) const {
  int64_t sum = 0;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max() / kSecond * kSecond - 1;
  if (__builtin_add_overflow(UnixNanos(), d.count(), &sum)) sum = d.count() > 0 ? kMax : 0;
  return FromWall(WallTime{std::min(sum, kMax)});
}

}  // namespace cipe::protocol
