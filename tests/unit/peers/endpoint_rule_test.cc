// The roaming rule, as a truth table.
#include "peers/endpoint_rule.h"

#include <gtest/gtest.h>

namespace cipe {
namespace {

TEST(EndpointRule, OnlyNewCountersOfTheCurrentSessionMove) {
  EXPECT_TRUE(MayMoveEndpoint({true, 0, 0}));
  EXPECT_TRUE(MayMoveEndpoint({true, 8, 8}));
  EXPECT_TRUE(MayMoveEndpoint({true, 100, 8}));
  EXPECT_FALSE(MayMoveEndpoint({true, 7, 8})) << "overtaken, or replayed within the window";
  EXPECT_FALSE(MayMoveEndpoint({true, 0, 8}));
  EXPECT_FALSE(MayMoveEndpoint({false, 100, 8})) << "previous session";
  EXPECT_FALSE(MayMoveEndpoint({false, 0, 0}));
}

TEST(EndpointRule, MovesOnlyToAnotherEndpoint) {
  const Endpoint a = *Endpoint::Parse("192.0.2.1:6789");
  const Endpoint port = *Endpoint::Parse("192.0.2.1:6790");
  const Endpoint v6 = *Endpoint::Parse("[2001:db8::1]:6789");
  const RoamingFacts fresh{true, 9, 9};
  EXPECT_FALSE(MovesEndpoint(fresh, a, a));
  EXPECT_TRUE(MovesEndpoint(fresh, a, port));
  EXPECT_TRUE(MovesEndpoint(fresh, a, v6));
  EXPECT_TRUE(MovesEndpoint(fresh, Endpoint(), a)) << "first one learned";
  EXPECT_FALSE(MovesEndpoint(fresh, a, Endpoint()));
  EXPECT_FALSE(MovesEndpoint({true, 8, 9}, a, port));
  EXPECT_FALSE(MovesEndpoint({false, 9, 9}, a, port));
}

}  // namespace
}  // namespace cipe
