// AEAD against published vectors, and everything that must be refused.
#include "crypto/aead.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "tests/unit/crypto/test_util.h"

namespace cipe {
namespace {

using testing::Hex;
using testing::HexArray;
using testing::HexSecret;
using testing::Octets;
using testing::SeededRng;
using testing::Text;
using testing::ToHex;

constexpr Suite kSuites[] = {Suite::kAesGcmSha256, Suite::kChaChaPolyBlake2s};
constexpr AeadBackend kBackends[] = {AeadBackend::kIpsecMb, AeadBackend::kOpenSsl};

struct Vector {
  Suite suite;
  const char* name;
  const char* key;
  const char* nonce;
  const char* aad;
  Octets plaintext;
  const char* sealed;  // ciphertext and tag
};

constexpr char kGcmKey[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
constexpr char kGcmText[] =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b5"
    "25b16aedf5aa0de657ba637b391aafd255";

// GCM: McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, cases 13 to 16.
// ChaCha20-Poly1305: RFC 8439 (before: 7539) section 2.8.2.
std::vector<Vector> PublishedVectors() {
  const Suite gcm = Suite::kAesGcmSha256;
  const char* zero_key = "0000000000000000000000000000000000000000000000000000000000000000";
  const char* zero_nonce = "000000000000000000000000";
  Octets short_text = Hex(kGcmText);
  short_text.resize(60);
  return {
      {gcm, "GCM 13", zero_key, zero_nonce, "", {}, "530f8afbc74536b9a963b4f1c4cb738b"},
      {gcm, "GCM 14", zero_key, zero_nonce, "", Octets(16),
       "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
      {gcm, "GCM 15", kGcmKey, "cafebabefacedbaddecaf888", "", Hex(kGcmText),
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10568"
       "28838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c"},
      {gcm, "GCM 16", kGcmKey, "cafebabefacedbaddecaf888",
       "feedfacedeadbeeffeedfacedeadbeefabaddad2", short_text,
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b10568"
       "28838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
      {Suite::kChaChaPolyBlake2s, "RFC 8439 2.8.2",
       "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
       "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
       Text("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
            "future, sunscreen would be it."),
       "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da9"
       "2728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad67594558580"
       "8b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
  };
}

TEST(AeadOnce, PublishedVectors) {
  for (const Vector& v : PublishedVectors()) {
    SCOPED_TRACE(v.name);
    const Secret<32> key = HexSecret(v.key);
    const auto nonce = HexArray<12>(v.nonce);
    Octets sealed(v.plaintext.size() + kAeadTagSize);
    SealOnce(v.suite, key, nonce, Hex(v.aad), v.plaintext, sealed.data());
    EXPECT_EQ(ToHex(sealed), v.sealed);
    Octets opened(v.plaintext.size());
    EXPECT_TRUE(OpenOnce(v.suite, key, nonce, Hex(v.aad), sealed, opened.data()));
    EXPECT_EQ(opened, v.plaintext);
  }
}

TEST(AeadOnce, WorksInPlaceAndRefusesEveryChange) {
  SeededRng rng(4);
  const Octets aad = rng.Draw(7), text = rng.Draw(40);
  const Secret<32> key = Secret<32>::FromSpan(rng.Draw(32));
  for (Suite suite : kSuites) {
    const auto nonce = NoiseNonce(suite, 5);
    Octets sealed = text;
    sealed.resize(text.size() + kAeadTagSize);
    SealOnce(suite, key, nonce, aad, absl::MakeConstSpan(sealed).first(text.size()), sealed.data());
    Octets out(text.size());
    for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      Octets bad = sealed;
      bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(OpenOnce(suite, key, nonce, aad, bad, bad.data())) << bit;
      EXPECT_EQ(Octets(bad.begin(), bad.begin() + 40), Octets(40)) << "plaintext left behind";
    }
    for (size_t size = 0; size < sealed.size(); ++size) {
      const auto cut = absl::MakeConstSpan(sealed).first(size);
      EXPECT_FALSE(OpenOnce(suite, key, nonce, aad, cut, out.data())) << size;
    }
    EXPECT_FALSE(OpenOnce(suite, key, NoiseNonce(suite, 6), aad, sealed, out.data()));
    EXPECT_FALSE(OpenOnce(suite, key, nonce, {}, sealed, out.data()));
    EXPECT_TRUE(OpenOnce(suite, key, nonce, aad, sealed, sealed.data()));
    EXPECT_EQ(Octets(sealed.begin(), sealed.begin() + 40), text);
  }
}

// Noise specification, section 12.
TEST(NoiseNonce, HasTheByteOrderOfItsCipher) {
  EXPECT_EQ(ToHex(NoiseNonce(Suite::kAesGcmSha256, 0x0102030405060708)),
            "000000000102030405060708");
  EXPECT_EQ(ToHex(NoiseNonce(Suite::kChaChaPolyBlake2s, 0x0102030405060708)),
            "000000000807060504030201");
}

TEST(Backend, HasANameAndAFallback) {
  EXPECT_EQ(BackendName(AeadBackend::kIpsecMb), "ipsec-mb");
  EXPECT_EQ(BackendName(AeadBackend::kOpenSsl), "openssl");
  EXPECT_TRUE(BackendAvailable(AeadBackend::kOpenSsl));
  EXPECT_TRUE(BackendAvailable(BestBackend()));
  EXPECT_EQ(BestBackend() == AeadBackend::kIpsecMb, BackendAvailable(AeadBackend::kIpsecMb));
}

class PacketAead : public ::testing::TestWithParam<std::tuple<Suite, AeadBackend>> {
 protected:
  void SetUp() override {
    if (!BackendAvailable(backend()))
      GTEST_SKIP() << "needs hardware: this CPU cannot run ipsec-mb";
  }
  Suite suite() const { return std::get<0>(GetParam()); }
  AeadBackend backend() const { return std::get<1>(GetParam()); }
  AeadKey NewKey(const Secret<32>& key) const { return *AeadKey::Create(suite(), backend(), key); }

  Octets Seal(AeadKey& key, uint64_t counter, const Octets& text) const {
    Octets sealed(text.size() + kAeadTagSize);
    SealJob job{counter, aad_.data(), text.data(), sealed.data(),
                static_cast<uint32_t>(text.size())};
    key.SealBatch(absl::MakeConstSpan(&job, 1));
    return sealed;
  }
  // Opens `sealed` in place.
  static bool Open(AeadKey& key, uint64_t counter, const Octets& aad, Octets& sealed) {
    OpenJob job{counter, aad.data(), sealed.data(),
                static_cast<uint32_t>(sealed.size() - kAeadTagSize), true};
    key.OpenBatch(absl::MakeSpan(&job, 1));
    return job.ok;
  }
  static bool TextIsZero(const Octets& sealed) {
    return std::all_of(sealed.begin(), sealed.end() - kAeadTagSize,
                       [](uint8_t o) { return o == 0; });
  }

  SeededRng rng_{7};
  const Secret<32> secret_ = Secret<32>::FromSpan(rng_.Draw(32));
  const Octets aad_ = rng_.Draw(kDataAadSize);
};

TEST_P(PacketAead, EqualsTheHandshakeAead) {
  AeadKey key = NewKey(secret_);
  const uint64_t counters[] = {0, 1, 255, uint64_t{1} << 32, 0x0102030405060708, ~uint64_t{0} - 1};
  for (uint64_t counter : counters) {
    for (size_t size : {0, 1, 15, 16, 17, 63, 64, 65, 1400}) {
      const Octets text = rng_.Draw(size);
      Octets want(size + kAeadTagSize);
      SealOnce(suite(), secret_, NoiseNonce(suite(), counter), aad_, text, want.data());
      EXPECT_EQ(ToHex(Seal(key, counter, text)), ToHex(want)) << counter << " " << size;
    }
  }
}

TEST_P(PacketAead, KeepaliveOpens) {
  AeadKey key = NewKey(secret_);
  Octets sealed = Seal(key, 3, {});
  EXPECT_EQ(sealed.size(), kAeadTagSize);
  EXPECT_TRUE(Open(key, 3, aad_, sealed));
  sealed[0] ^= 1;
  EXPECT_FALSE(Open(key, 3, aad_, sealed));
}

TEST_P(PacketAead, RefusesEveryFlippedBit) {
  AeadKey key = NewKey(secret_);
  for (size_t size : {0, 1, 64, 100}) {
    const Octets text = rng_.Draw(size);
    const Octets sealed = Seal(key, 9, text);
    for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      Octets bad = sealed;
      bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(Open(key, 9, aad_, bad)) << size << ", bit " << bit;
      EXPECT_TRUE(TextIsZero(bad)) << size << ", bit " << bit;
    }
    for (size_t bit = 0; bit < aad_.size() * 8; ++bit) {
      Octets bad_aad = aad_, copy = sealed;
      bad_aad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(Open(key, 9, bad_aad, copy)) << size << ", bit of the header " << bit;
    }
    for (int bit = 0; bit < 64; ++bit) {
      Octets copy = sealed;
      EXPECT_FALSE(Open(key, 9 ^ (uint64_t{1} << bit), aad_, copy)) << "bit of the counter " << bit;
    }
    Octets copy = sealed;
    EXPECT_TRUE(Open(key, 9, aad_, copy)) << "after all those failures";
    EXPECT_EQ(Octets(copy.begin(), copy.begin() + static_cast<long>(size)), text);
  }
}

TEST_P(PacketAead, RefusesEveryTruncationAndExtension) {
  AeadKey key = NewKey(secret_);
  const Octets sealed = Seal(key, 1, rng_.Draw(80));
  for (size_t size = kAeadTagSize; size < sealed.size(); ++size) {
    Octets cut(sealed.begin(), sealed.begin() + static_cast<long>(size));
    EXPECT_FALSE(Open(key, 1, aad_, cut)) << size;
  }
  Octets longer = sealed;
  longer.push_back(0);
  EXPECT_FALSE(Open(key, 1, aad_, longer));
}

TEST_P(PacketAead, RefusesAnotherKeyAndForgedTags) {
  AeadKey key = NewKey(secret_);
  AeadKey other = NewKey(Secret<32>::FromSpan(rng_.Draw(32)));
  Octets sealed = Seal(key, 1, rng_.Draw(30));
  for (uint8_t fill : {0x00, 0xff}) {
    Octets forged = sealed;
    std::fill(forged.end() - kAeadTagSize, forged.end(), fill);
    EXPECT_FALSE(Open(key, 1, aad_, forged));
  }
  EXPECT_FALSE(Open(other, 1, aad_, sealed));
}

TEST_P(PacketAead, BatchSaysWhichOnesFailed) {
  AeadKey key = NewKey(secret_);
  constexpr size_t kBatch = 64;
  std::vector<Octets> texts, frames;
  std::vector<SealJob> seals;
  for (size_t i = 0; i < kBatch; ++i) {
    texts.push_back(rng_.Draw(i * 23));
    frames.emplace_back(texts[i].size() + kAeadTagSize);
  }
  for (size_t i = 0; i < kBatch; ++i) {
    seals.push_back({100 + i, aad_.data(), texts[i].data(), frames[i].data(),
                     static_cast<uint32_t>(texts[i].size())});
  }
  key.SealBatch(seals);
  std::vector<OpenJob> opens;
  for (size_t i = 0; i < kBatch; ++i) {
    if (i % 3 == 0) frames[i].back() ^= 0x80;
    opens.push_back({100 + i, aad_.data(), frames[i].data(), static_cast<uint32_t>(texts[i].size()),
                     i % 2 == 0});
  }
  key.OpenBatch(absl::MakeSpan(opens));
  for (size_t i = 0; i < kBatch; ++i) {
    EXPECT_EQ(opens[i].ok, i % 3 != 0) << i;
    const Octets got(frames[i].begin(), frames[i].end() - kAeadTagSize);
    EXPECT_EQ(got, i % 3 == 0 ? Octets(texts[i].size()) : texts[i]) << i;
  }
  key.SealBatch({});
  key.OpenBatch({});
}

TEST_P(PacketAead, SurvivesMoves) {
  AeadKey key = NewKey(secret_);
  Octets sealed = Seal(key, 1, Text("moved"));
  AeadKey second = std::move(key);
  AeadKey third = NewKey(Secret<32>());
  third = std::move(second);
  EXPECT_TRUE(Open(third, 1, aad_, sealed));
}

INSTANTIATE_TEST_SUITE_P(
    All, PacketAead,
    ::testing::Combine(::testing::ValuesIn(kSuites), ::testing::ValuesIn(kBackends)),
    [](const auto& info) {
      std::string name(SuiteName(std::get<0>(info.param)));
      return name + (std::get<1>(info.param) == AeadBackend::kIpsecMb ? "_ipsecmb" : "_openssl");
    });

static_assert(!std::is_copy_constructible_v<AeadKey> && !std::is_copy_assignable_v<AeadKey>);

}  // namespace
}  // namespace cipe
