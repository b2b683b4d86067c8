// Token bucket per source (/32, /64) for initiations under load. Time is passed in, the table is
// bounded: a source that finds no room is refused, since only sources that showed a cookie get
// here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/ip_address.h"

namespace cipe::handshake {

struct RateLimiterOptions {
  double per_second = 20;
  double burst = 5;
  size_t max_sources = 8192;
};

class RateLimiter {
 public:
  explicit RateLimiter(const RateLimiterOptions& options = {});

  // Takes one token of the source. False: hs_rate_limited. A clock that goes back refills nothing.
  bool Allow(const IpAddress& source, Instant now);
  size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens;
    Instant refilled;
  };
  void Sweep(Instant now);

  const RateLimiterOptions options_;
  const Duration full_after_;  // an empty bucket is full again after this
  absl::flat_hash_map<IpAddress, Bucket> buckets_;
  Instant last_sweep_{};
};

}  // namespace cipe::handshake
