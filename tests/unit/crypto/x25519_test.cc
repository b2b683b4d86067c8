// X25519 against RFC 7748 and against public keys that must never be used.
#include "crypto/x25519.h"

#include <gtest/gtest.h>

#include "tests/unit/crypto/test_util.h"

namespace cipe {
namespace {

using testing::HexArray;
using testing::HexSecret;
using testing::SeededRng;
using testing::ToHex;

std::string Multiply(absl::string_view scalar, absl::string_view u) {
  Secret<32> out;
  if (!X25519(HexSecret(scalar), HexArray<32>(u), &out)) return "refused";
  return ToHex(out.UnsafeBytes());
}

// RFC 7748 section 5.2.
TEST(X25519, ScalarMultiplicationVectors) {
  EXPECT_EQ(Multiply("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  EXPECT_EQ(Multiply("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

// RFC 7748 section 5.2, the iterated vectors: after 1 and after 1000 rounds.
TEST(X25519, IteratedVectors) {
  PublicKeyBytes u{};
  u[0] = 9;
  Secret<32> k = Secret<32>::FromSpan(u);
  for (int i = 1; i <= 1000; ++i) {
    Secret<32> result;
    ASSERT_TRUE(X25519(k, u, &result)) << i;
    std::copy_n(k.UnsafeBytes().begin(), 32, u.begin());
    k = std::move(result);
    if (i == 1) {
      EXPECT_EQ(ToHex(k.UnsafeBytes()),
                "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(ToHex(k.UnsafeBytes()),
            "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

// RFC 7748 section 6.1.
TEST(X25519, DiffieHellmanVectors) {
  const Secret<32> alice =
      HexSecret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const Secret<32> bob =
      HexSecret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  const PublicKeyBytes alice_public = *PublicKey(alice);
  const PublicKeyBytes bob_public = *PublicKey(bob);
  EXPECT_EQ(ToHex(alice_public),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(ToHex(bob_public), "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  Secret<32> one, two;
  ASSERT_TRUE(X25519(alice, bob_public, &one));
  ASSERT_TRUE(X25519(bob, alice_public, &two));
  EXPECT_EQ(ToHex(one.UnsafeBytes()),
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  EXPECT_TRUE(one == two);
}

// Every u coordinate of order 1, 2, 4 or 8 on the curve or its twist, in each of its spellings
// below 2^255 (RFC 7748 section 6.1, Wycheproof x25519_test.json flag LowOrderPublic), and each
// again with the top bit set, which X25519 ignores.
TEST(X25519, RefusesEveryLowOrderPoint) {
  const char* const kLowOrder[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
  SeededRng rng(1);
  for (const char* hex : kLowOrder) {
    for (uint8_t top : {0x00, 0x80}) {
      PublicKeyBytes point = HexArray<32>(hex);
      point[31] |= top;
      for (int i = 0; i < 8; ++i) {
        Secret<32> out = Secret<32>::FromSpan(testing::Octets(32, 0xaa));
        EXPECT_FALSE(X25519(GeneratePrivateKey(rng), point, &out)) << hex;
        EXPECT_TRUE(out == Secret<32>()) << "something was left in the output";
      }
    }
  }
}

TEST(X25519, AcceptsNonCanonicalAndTwistPoints) {
  SeededRng rng(2);
  const Secret<32> key = GeneratePrivateKey(rng);
  Secret<32> plain, spelled;
  // p + 3 and 3 are one u coordinate.
  ASSERT_TRUE(
      X25519(key, HexArray<32>("0300000000000000000000000000000000000000000000000000000000000000"),
             &plain));
  ASSERT_TRUE(
      X25519(key, HexArray<32>("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
             &spelled));
  EXPECT_TRUE(plain == spelled);
}

TEST(X25519, GeneratedKeysAreClampedAndAgree) {
  SeededRng rng(3);
  for (int i = 0; i < 50; ++i) {
    const Secret<32> a = GeneratePrivateKey(rng);
    const Secret<32> b = GeneratePrivateKey(rng);
    EXPECT_FALSE(a == b);
    EXPECT_EQ(a.UnsafeBytes()[0] & 7, 0);
    EXPECT_EQ(a.UnsafeBytes()[31] & 0xc0, 0x40);
    Secret<32> ab, ba;
    ASSERT_TRUE(X25519(a, *PublicKey(b), &ab));
    ASSERT_TRUE(X25519(b, *PublicKey(a), &ba));
    EXPECT_TRUE(ab == ba);
  }
}

}  // namespace
}  // namespace cipe
