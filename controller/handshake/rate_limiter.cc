#include "handshake/rate_limiter.h"

#include <algorithm>

namespace cipe::handshake {
namespace {

constexpr Duration kSweepEvery = std::chrono::seconds(1);

IpAddress Aggregate(const IpAddress& source) {
  IpAddress key = source;
  // A customer usually has a /64 at least: addresses within it cost him nothing.
  if (key.is_v6()) std::fill(key.octets.begin() + 8, key.octets.end(), uint8_t{0});
  return key;
}

}  // namespace

RateLimiter::RateLimiter(const RateLimiterOptions& options)
    : options_(options),
      full_after_(Duration(static_cast<int64_t>(options.burst / options.per_second * 1e9))) {}

void RateLimiter::Sweep(Instant now) {
  if (now - last_sweep_ < kSweepEvery && last_sweep_ != Instant{}) return;
  last_sweep_ = now;
  // A bucket that is full again says no more than none at all.
  absl::erase_if(buckets_,
                 [&](const auto& entry) { return now - entry.second.refilled >= full_after_; });
}

bool RateLimiter::Allow(const IpAddress& source, Instant now) {
  const IpAddress key = Aggregate(source);
  auto it = buckets_.find(key);
  if (it == buckets_.end()) {
    if (buckets_.size() >= options_.max_sources) Sweep(now);
    if (buckets_.size() >= options_.max_sources) return false;
    it = buckets_.emplace(key, Bucket{options_.burst, now}).first;
  }
  Bucket& bucket = it->second;
  if (now > bucket.refilled) {
    const double seconds = std::chrono::duration<double>(now - bucket.refilled).count();
    bucket.tokens = std::min(options_.burst, bucket.tokens + seconds * options_.per_second);
    bucket.refilled = now;
  }
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

}  // namespace cipe::handshake
