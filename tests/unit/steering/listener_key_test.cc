#include <gtest/gtest.h>

#include <set>
#include <string>

#include "steering/maps.h"

namespace cipe::steering {
namespace {

TEST(ListenerKey, Ipv4IsFourOctetsAndZeros) {
  const cipe_listener_key key = ListenerKey(Endpoint::Parse("192.0.2.1:6789").value(), 7);
  const uint8_t expected[24] = {192, 0, 2, 1, 0,    0,    0, 0, 0, 0, 0, 0,
                                0,   0, 0, 0, 0x1a, 0x85, 4, 0, 7, 0, 0, 0};
  EXPECT_EQ(memcmp(&key, expected, sizeof key), 0);
}

TEST(ListenerKey, Ipv6IsTheWholeAddress) {
  const cipe_listener_key key = ListenerKey(Endpoint::Parse("[2001:db8::1]:256").value(), 0);
  const uint8_t expected[24] = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,
                                0,    0, 0,    1,    1, 0, 6, 0, 0, 0, 0, 0};
  EXPECT_EQ(memcmp(&key, expected, sizeof key), 0);
}

TEST(MapName, EachMapHasItsOwn) {
  std::set<std::string> names;
  for (int i = 0; i < kMapCount; ++i) {
    const std::string name = MapName(static_cast<MapId>(i));
    EXPECT_EQ(name.rfind("cipe_", 0), 0u) << name;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

TEST(MapSet, WrongNumberOfDescriptorsIsRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(MapSet::FromFds({}).status()));
}

}  // namespace
}  // namespace cipe::steering
