// Hashes, HMAC, HKDF and keyed BLAKE2s against published vectors. BLAKE2s vectors marked "hashlib"
// come from CPython 3.11's hashlib and hmac, an implementation apart from OpenSSL's.
#include "crypto/hash.h"

#include <gtest/gtest.h>

#include "tests/unit/crypto/test_util.h"

namespace cipe {
namespace {

using testing::Hex;
using testing::HexSecret;
using testing::Octets;
using testing::Text;
using testing::ToHex;

constexpr Suite kSha = Suite::kAesGcmSha256;
constexpr Suite kBlake = Suite::kChaChaPolyBlake2s;

Octets Counting(size_t size) {
  Octets out(size);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(i);
  return out;
}

std::string Blake(const Octets& key, const Octets& data, size_t size) {
  Octets out(size);
  KeyedBlake2s(key, data, absl::MakeSpan(out));
  return ToHex(out);
}

// FIPS 180-4 example "abc" and the empty string; RFC 7693 appendix B.
TEST(Hash, PublishedVectors) {
  EXPECT_EQ(ToHex(Hash(kSha, Text("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(Hash(kSha)), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(Hash(kBlake, Text("abc"))),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
}

TEST(Hash, SpansAreConcatenated) {
  for (Suite suite : {kSha, kBlake}) {
    EXPECT_EQ(Hash(suite, Text("ab"), Octets(), Text("c")), Hash(suite, Text("abc")));
    EXPECT_NE(Hash(suite, Text("abc")), Hash(suite, Text("acb")));
  }
}

// RFC 4231 sections 4.2, 4.3 and 4.7.
TEST(Hmac, Sha256Vectors) {
  EXPECT_EQ(ToHex(HMAC(kSha, Octets(20, 0x0b), Text("Hi There")).UnsafeBytes()),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(
      ToHex(HMAC(kSha, Text("Jefe"), Text("what do ya want "), Text("for nothing?")).UnsafeBytes()),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(ToHex(HMAC(kSha, Octets(131, 0xaa),
                       Text("Test Using Larger Than Block-Size Key - Hash Key First"))
                      .UnsafeBytes()),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

// hashlib.
TEST(Hmac, Blake2sVectors) {
  EXPECT_EQ(ToHex(HMAC(kBlake, Octets(20, 0x0b), Text("Hi There")).UnsafeBytes()),
            "65a8b7c5cc9136d424e82c37e2707e74e913c0655b99c75f40edf387453a3260");
  EXPECT_EQ(ToHex(HMAC(kBlake, Octets(131, 0xaa),
                       Text("Test Using Larger Than Block-Size Key - Hash Key First"))
                      .UnsafeBytes()),
            "d23d79394f53d536a096e6514447eeaabb05ded01be32c1937da6a8f7103bc4e");
  EXPECT_EQ(ToHex(HMAC(kBlake, {}).UnsafeBytes()),
            "eaf4bb25938f4d20e72656bbbc7a9bf63c0c18537333c35bdb67db1402661acd");
}

// RFC 5869 appendices A.1 and A.3.
TEST(Hkdf, Rfc5869Vectors) {
  const Secret<32> prk = HkdfExtract(kSha, Hex("000102030405060708090a0b0c"), Octets(22, 0x0b));
  EXPECT_EQ(ToHex(prk.UnsafeBytes()),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  Octets okm(42);
  HkdfExpand(kSha, prk, Hex("f0f1f2f3f4f5f6f7f8f9"), absl::MakeSpan(okm));
  EXPECT_EQ(ToHex(okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  const Secret<32> unsalted = HkdfExtract(kSha, {}, Octets(22, 0x0b));
  EXPECT_EQ(ToHex(unsalted.UnsafeBytes()),
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
  HkdfExpand(kSha, unsalted, {}, absl::MakeSpan(okm));
  EXPECT_EQ(ToHex(okm),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(Hkdf, ExpandOutputsArePrefixesOfEachOther) {
  for (Suite suite : {kSha, kBlake}) {
    const Secret<32> key = HkdfExtract(suite, Text("salt"), Text("input"));
    Octets longest(255 * 32);
    HkdfExpand(suite, key, Text("info"), absl::MakeSpan(longest));
    for (size_t size : {1, 31, 32, 33, 64, 100}) {
      Octets out(size);
      HkdfExpand(suite, key, Text("info"), absl::MakeSpan(out));
      EXPECT_EQ(out, Octets(longest.begin(), longest.begin() + static_cast<long>(size))) << size;
    }
    EXPECT_EQ(HkdfExpand(suite, key, Text("info")).UnsafeBytes(),
              absl::MakeConstSpan(longest).first(32));
  }
}

// Noise specification, section 4.3, is RFC 5869 with the chaining key as salt and empty info.
TEST(Hkdf, NoiseFormIsRfc5869WithEmptyInfo) {
  for (Suite suite : {kSha, kBlake}) {
    const Secret<32> ck = Secret<32>::FromSpan(Counting(32));
    for (const Octets& ikm : {Octets(), Counting(32)}) {
      Octets want(96);
      HkdfExpand(suite, HkdfExtract(suite, ck.UnsafeBytes(), ikm), {}, absl::MakeSpan(want));
      auto [a, b, c] = Hkdf3(suite, ck, ikm);
      EXPECT_EQ(ToHex(a.UnsafeBytes()) + ToHex(b.UnsafeBytes()) + ToHex(c.UnsafeBytes()),
                ToHex(want));
      auto [d, e] = Hkdf2(suite, ck, ikm);
      EXPECT_TRUE(a == d && b == e);
    }
  }
}

// The first two from the BLAKE2 authors' blake2s known answers; the rest hashlib.
TEST(KeyedBlake2s, Vectors) {
  const Octets key = Counting(32);
  EXPECT_EQ(Blake(key, {}, 32), "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
  EXPECT_EQ(Blake(key, {0}, 32),
            "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1");
  EXPECT_EQ(Blake(key, Text("cipe"), 32),
            "a1beb624ebe224067f41fb86d69e969deb3d6ef3020c1eb8b6fee8da6196b76b");
  EXPECT_EQ(Blake(key, Text("cipe"), 16), "079ebf14074b16f6ee65fd16745db5ff");
  EXPECT_EQ(Blake(Counting(16), Counting(200), 16), "b8d300fa7937e4d1e67c8468df4c9a43");
}

TEST(KeyedBlake2s, SpansAreConcatenatedAndSizesAreApart) {
  const Octets key = Counting(32), data = Counting(100);
  for (size_t cut = 0; cut <= data.size(); ++cut) {
    Octets out(16);
    KeyedBlake2s(key,
                 {absl::MakeConstSpan(data).first(cut), absl::MakeConstSpan(data).subspan(cut)},
                 absl::MakeSpan(out));
    EXPECT_EQ(ToHex(out), Blake(key, data, 16)) << cut;
  }
  EXPECT_NE(Blake(key, data, 16), Blake(key, data, 32).substr(0, 32));
  EXPECT_NE(Blake(Counting(16), data, 16), Blake(key, data, 16));
}

TEST(KeyedBlake2sDeathTest, RefusesSizesItCannotDo) {
  Octets out(33);
  EXPECT_DEATH(KeyedBlake2s({}, Text("x"), absl::MakeSpan(out).first(16)), "size of the key");
  EXPECT_DEATH(KeyedBlake2s(Counting(33), Text("x"), absl::MakeSpan(out).first(16)),
               "size of the key");
  EXPECT_DEATH(KeyedBlake2s(Counting(32), Text("x"), absl::MakeSpan(out)), "size of the output");
}

}  // namespace
}  // namespace cipe
