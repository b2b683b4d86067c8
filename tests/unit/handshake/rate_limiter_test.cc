#include "handshake/rate_limiter.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace cipe::handshake {
namespace {

using namespace std::chrono_literals;

IpAddress Ip(const std::string& text) { return *IpAddress::Parse(text); }

TEST(RateLimiter, BurstThenRate) {
  RateLimiter limiter({.per_second = 10, .burst = 3, .max_sources = 4});
  const Instant t0 = FromNanos(1'000'000'000);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limiter.Allow(Ip("192.0.2.1"), t0));
  EXPECT_FALSE(limiter.Allow(Ip("192.0.2.1"), t0));
  EXPECT_TRUE(limiter.Allow(Ip("192.0.2.2"), t0));
  EXPECT_FALSE(limiter.Allow(Ip("192.0.2.1"), t0 - 10s));
  EXPECT_FALSE(limiter.Allow(Ip("192.0.2.1"), t0 + 99ms));
  EXPECT_TRUE(limiter.Allow(Ip("192.0.2.1"), t0 + 101ms));
  EXPECT_FALSE(limiter.Allow(Ip("192.0.2.1"), t0 + 101ms));
  int passed = 0;
  for (int i = 0; i < 100; ++i) passed += limiter.Allow(Ip("192.0.2.1"), t0 + 1h);
  EXPECT_EQ(passed, 3);
}

TEST(RateLimiter, Ipv6CountsBy64) {
  RateLimiter limiter({.per_second = 1, .burst = 1, .max_sources = 8});
  const Instant t0 = FromNanos(1);
  EXPECT_TRUE(limiter.Allow(Ip("2001:db8::1"), t0));
  EXPECT_FALSE(limiter.Allow(Ip("2001:db8::ffff:1"), t0));
  EXPECT_TRUE(limiter.Allow(Ip("2001:db8:0:1::1"), t0));
}

TEST(RateLimiter, TableIsBoundedAndEmptiesItself) {
  RateLimiter limiter({.per_second = 10, .burst = 5, .max_sources = 100});
  const Instant t0 = FromNanos(5'000'000'000);
  int passed = 0;
  for (int i = 0; i < 1000; ++i) {
    passed += limiter.Allow(Ip(absl::StrCat("10.0.", i / 250, ".", i % 250)), t0);
  }
  EXPECT_EQ(passed, 100);
  EXPECT_EQ(limiter.size(), 100u);
  EXPECT_TRUE(limiter.Allow(Ip("198.51.100.1"), t0 + 2s));
  EXPECT_EQ(limiter.size(), 1u);
}

}  // namespace
}  // namespace cipe::handshake
