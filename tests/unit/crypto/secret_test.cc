// Secrets: wiped, moved and never copied, not printable.
#include "crypto/secret.h"

#include <gtest/gtest.h>

#include <concepts>
#include <new>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/unit/crypto/test_util.h"

namespace cipe {
namespace {

using testing::Octets;

template <typename T>
concept Streamable = requires(std::ostream& os, const T& t) {
  os << t;
};
template <typename T>
concept Catable = requires(const T& t) {
  absl::AlphaNum(t);
};
template <typename T>
concept Ordered = requires(const T& a, const T& b) {
  a < b;
};

template <typename T>
constexpr bool IsGuarded() {
  return !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
         std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
         !Streamable<T> && !Catable<T> && !Ordered<T> && !std::is_convertible_v<T, std::string> &&
         !std::is_convertible_v<T, std::string_view> &&
         !std::is_convertible_v<const T&, absl::Span<const uint8_t>> &&
         !std::is_convertible_v<const T&, const uint8_t*>;
}
static_assert(IsGuarded<Secret<32>>());
static_assert(IsGuarded<Secret<16>>());
static_assert(IsGuarded<SecretBytes>());
// The guard itself sees what it should see.
static_assert(Streamable<int> && Catable<int> && Ordered<int> && !IsGuarded<std::string>());

Octets Pattern(size_t size) {
  Octets out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i * 7 + 1);
  return out;
}

bool AllZero(absl::Span<const uint8_t> octets) {
  for (uint8_t octet : octets) {
    if (octet != 0) return false;
  }
  return true;
}

TEST(Secret, StartsAsZeroAndHoldsWhatItIsGiven) {
  EXPECT_TRUE(AllZero(Secret<32>().UnsafeBytes()));
  const Octets octets = Pattern(32);
  EXPECT_EQ(Secret<32>::FromSpan(octets).UnsafeBytes(), octets);
}

TEST(Secret, MoveConstructionWipesTheSource) {
  Secret<32> a = Secret<32>::FromSpan(Pattern(32));
  Secret<32> b = std::move(a);
  EXPECT_TRUE(AllZero(a.UnsafeBytes()));  // NOLINT(bugprone-use-after-move): the point of the test
  EXPECT_EQ(b.UnsafeBytes(), Pattern(32));
}

TEST(Secret, MoveAssignmentWipesTheSourceAndReplacesTheTarget) {
  Secret<32> a = Secret<32>::FromSpan(Pattern(32));
  Secret<32> b = Secret<32>::FromSpan(Octets(32, 0xee));
  b = std::move(a);
  EXPECT_TRUE(AllZero(a.UnsafeBytes()));  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.UnsafeBytes(), Pattern(32));
  Secret<32>& same = b;
  b = std::move(same);
  EXPECT_EQ(b.UnsafeBytes(), Pattern(32)) << "assigned to itself";
}

TEST(Secret, DestructionWipes) {
  alignas(Secret<32>) unsigned char place[sizeof(Secret<32>)];
  auto* secret = new (place) Secret<32>(Secret<32>::FromSpan(Pattern(32)));
  const volatile unsigned char* seen = place;
  ASSERT_EQ(seen[0], 1);
  secret->~Secret();
  for (size_t i = 0; i < sizeof place; ++i) EXPECT_EQ(seen[i], 0) << i;
}

TEST(Secret, CloneIsEqualAndApart) {
  const Secret<32> a = Secret<32>::FromSpan(Pattern(32));
  Secret<32> b = a.Clone();
  EXPECT_TRUE(a == b);
  b.UnsafeMutableBytes()[31] ^= 1;
  EXPECT_FALSE(a == b);
  EXPECT_EQ(a.UnsafeBytes(), Pattern(32));
}

TEST(SecretDeathTest, RefusesAnotherSize) {
  EXPECT_DEATH(Secret<32>::FromSpan(Octets(31)), "32 octets made from 31");
}

TEST(SecretBytes, MovesLeaveNothingBehind) {
  SecretBytes a = SecretBytes::FromSpan(Pattern(16));
  SecretBytes b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.UnsafeBytes(), Pattern(16));
  SecretBytes c(8);
  c = std::move(b);
  EXPECT_TRUE(b.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(c.size(), 16u);
  c.Wipe();
  EXPECT_TRUE(AllZero(c.UnsafeBytes()));
  EXPECT_EQ(c.size(), 16u);
}

TEST(SecretBytes, EqualityKnowsSizes) {
  const SecretBytes a = SecretBytes::FromSpan(Pattern(16));
  EXPECT_TRUE(a == a.Clone());
  EXPECT_FALSE(a == SecretBytes::FromSpan(Pattern(32)));
  EXPECT_TRUE(SecretBytes() == SecretBytes());
}

TEST(ConstantTimeEqual, SeesEveryBit) {
  const Octets a = Pattern(33);
  EXPECT_TRUE(ConstantTimeEqual(a, a));
  for (size_t bit = 0; bit < a.size() * 8; ++bit) {
    Octets b = a;
    b[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(ConstantTimeEqual(a, b)) << bit;
  }
  EXPECT_FALSE(ConstantTimeEqual(a, absl::MakeConstSpan(a).first(32)));
}

TEST(WipeMemory, TouchesOnlyItsOwn) {
  Octets octets(10, 0xff);
  WipeMemory(octets.data() + 2, 5);
  EXPECT_EQ(octets, testing::Hex("ffff 0000000000 ffffff"));
  WipeMemory(nullptr, 0);
}

}  // namespace
}  // namespace cipe
