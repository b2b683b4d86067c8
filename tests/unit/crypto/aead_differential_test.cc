// The two packet AEAD backends against each other on random input: same octets out, same verdicts.
#include <gtest/gtest.h>

#include "crypto/aead.h"
#include "tests/unit/crypto/test_util.h"

namespace cipe {
namespace {

using testing::Octets;
using testing::SeededRng;

constexpr size_t kGuard = 64;
constexpr uint8_t kGuardOctet = 0xa5;

// Room for a frame with guards around it; `shift` moves it off any alignment.
class Frame {
 public:
  Frame(size_t size, size_t shift)
      : start_(kGuard + shift), size_(size), octets_(size + shift + 2 * kGuard, kGuardOctet) {}
  uint8_t* data() { return octets_.data() + start_; }
  Octets content() const { return Octets(octets_.begin() + start_, octets_.begin() + end()); }
  void Fill(const Octets& from) { std::copy(from.begin(), from.end(), data()); }
  bool GuardsIntact() const {
    const auto is_guard = [](uint8_t o) { return o == kGuardOctet; };
    return std::all_of(octets_.begin(), octets_.begin() + start_, is_guard) &&
           std::all_of(octets_.begin() + end(), octets_.end(), is_guard);
  }

 private:
  long end() const { return start_ + static_cast<long>(size_); }
  long start_;
  size_t size_;
  Octets octets_;
};

class Differential : public ::testing::TestWithParam<Suite> {
 protected:
  void SetUp() override {
    if (!BackendAvailable(AeadBackend::kIpsecMb))
      GTEST_SKIP() << "needs hardware: this CPU cannot run ipsec-mb";
  }

  AeadKey NewKey(AeadBackend backend, const Secret<32>& key) {
    return *AeadKey::Create(GetParam(), backend, key);
  }

  // Seals `text` in a guarded buffer, in place or from a buffer of its own.
  Octets Seal(AeadKey& key, uint64_t counter, const Octets& aad, const Octets& text,
              bool in_place) {
    Frame frame(text.size() + kAeadTagSize, rng_.Below(16));
    if (in_place) frame.Fill(text);
    const uint8_t* in = in_place ? frame.data() : text.data();
    const SealJob job{counter, aad.data(), in, frame.data(), static_cast<uint32_t>(text.size())};
    key.SealBatch(absl::MakeConstSpan(&job, 1));
    EXPECT_TRUE(frame.GuardsIntact()) << text.size();
    return frame.content();
  }

  // Opens a copy of `sealed`; checks that what comes out is `text` or zeros.
  bool Open(AeadKey& key, uint64_t counter, const Octets& aad, const Octets& sealed,
            const Octets& text) {
    Frame frame(sealed.size(), rng_.Below(16));
    frame.Fill(sealed);
    OpenJob job{counter, aad.data(), frame.data(), static_cast<uint32_t>(text.size())};
    key.OpenBatch(absl::MakeSpan(&job, 1));
    EXPECT_TRUE(frame.GuardsIntact()) << text.size();
    Octets got = frame.content();
    got.resize(text.size());
    EXPECT_EQ(got, job.ok ? text : Octets(text.size())) << text.size();
    return job.ok;
  }

  // Both backends on one random frame of `size` octets, opened crosswise, then tampered with.
  void Compare(AeadKey& mb, AeadKey& ssl, size_t size) {
    const Octets aad = rng_.Draw(kDataAadSize), text = rng_.Draw(size);
    const uint64_t counter = rng_.U64() >> rng_.Below(64);
    const Octets sealed = Seal(mb, counter, aad, text, false);
    ASSERT_EQ(sealed, Seal(ssl, counter, aad, text, false)) << size;
    ASSERT_EQ(sealed, Seal(mb, counter, aad, text, true)) << size;
    ASSERT_EQ(sealed, Seal(ssl, counter, aad, text, true)) << size;
    EXPECT_TRUE(Open(mb, counter, aad, sealed, text)) << size;
    EXPECT_TRUE(Open(ssl, counter, aad, sealed, text)) << size;
    Octets bad = sealed;
    bad[rng_.Below(bad.size())] ^= static_cast<uint8_t>(1 << rng_.Below(8));
    EXPECT_FALSE(Open(mb, counter, aad, bad, text)) << size;
    EXPECT_FALSE(Open(ssl, counter, aad, bad, text)) << size;
    bad = sealed;
    bad[size + rng_.Below(kAeadTagSize)] ^= 0x10;
    EXPECT_FALSE(Open(mb, counter, aad, bad, text)) << size;
    EXPECT_FALSE(Open(ssl, counter, aad, bad, text)) << size;
  }

  SeededRng rng_{11};
};

TEST_P(Differential, EverySizeUpTo2048) {
  const Secret<32> secret = Secret<32>::FromSpan(rng_.Draw(32));
  AeadKey mb = NewKey(AeadBackend::kIpsecMb, secret);
  AeadKey ssl = NewKey(AeadBackend::kOpenSsl, secret);
  for (size_t size = 0; size <= 2048; ++size) Compare(mb, ssl, size);
}

TEST_P(Differential, ManyKeysAndRandomSizes) {
  for (int i = 0; i < 200; ++i) {
    const Secret<32> secret = Secret<32>::FromSpan(rng_.Draw(32));
    AeadKey mb = NewKey(AeadBackend::kIpsecMb, secret);
    AeadKey ssl = NewKey(AeadBackend::kOpenSsl, secret);
    for (int j = 0; j < 5; ++j) Compare(mb, ssl, rng_.Below(2049));
  }
}

TEST_P(Differential, JumboFrames) {
  const Secret<32> secret = Secret<32>::FromSpan(rng_.Draw(32));
  AeadKey mb = NewKey(AeadBackend::kIpsecMb, secret);
  AeadKey ssl = NewKey(AeadBackend::kOpenSsl, secret);
  for (size_t size : {4095, 4096, 8952, 9000, 65503}) Compare(mb, ssl, size);
}

INSTANTIATE_TEST_SUITE_P(Suites, Differential,
                         ::testing::Values(Suite::kAesGcmSha256, Suite::kChaChaPolyBlake2s),
                         [](const auto& info) { return std::string(SuiteName(info.param)); });

}  // namespace
}  // namespace cipe
