#include "protocol/frame.h"

#include <gtest/gtest.h>

#include <vector>

namespace cipe::protocol {
namespace {

using Octets = std::vector<uint8_t>;

Octets Initiation(Pattern pattern) {
  Octets f(InitiationSize(pattern));
  InitiationFields fields = LayOutInitiation(pattern, 1, 0x12345640, absl::MakeSpan(f));
  for (size_t i = 0; i < fields.noise.size(); ++i) fields.noise[i] = static_cast<uint8_t>(i + 1);
  return f;
}
Octets Response() {
  Octets f(kResponseSize);
  LayOutResponse(Pattern::kNnPsk0, 2, 0x00000fc0, 0x12345640, absl::MakeSpan(f));
  return f;
}
Octets CookieReply() {
  Octets f(kCookieReplySize);
  LayOutCookieReply(Pattern::kIkPsk2, 2, 0x12345640, absl::MakeSpan(f));
  return f;
}

TEST(Frame, InitiationLayoutIsTheDocumentedOne) {
  const Octets ik = Initiation(Pattern::kIkPsk2);
  EXPECT_EQ(Octets(ik.begin(), ik.begin() + 9), (Octets{0x51, 1, 1, 0, 0x40, 0x56, 0x34, 0x12, 1}));
  auto v = ParseInitiation(ik);
  ASSERT_TRUE(v.ok());
  EXPECT_EQ(v->sender_index, 0x12345640u);
  EXPECT_EQ(v->key_id.size(), 0u);
  EXPECT_EQ(v->ephemeral.data() - ik.data(), 8);
  EXPECT_EQ(v->noise.size(), 32u + 48 + 76);
  EXPECT_EQ(v->mac1.data() - ik.data(), 164);
  EXPECT_EQ(v->mac2.data() - ik.data(), 180);
  const Octets nn = Initiation(Pattern::kNnPsk0);
  auto w = ParseInitiation(nn);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->key_id.data() - nn.data(), 8);
  EXPECT_EQ(w->ephemeral.data() - nn.data(), 16);
  EXPECT_EQ(w->noise.size(), 32u + 76);
  EXPECT_EQ(w->mac1.data() - nn.data(), 124);
}

TEST(Frame, ResponseAndCookieReplyLayout) {
  const Octets f = Response();
  EXPECT_EQ(Octets(f.begin(), f.begin() + 12),
            (Octets{0x52, 2, 2, 0, 0xc0, 0x0f, 0, 0, 0x40, 0x56, 0x34, 0x12}));
  auto v = ParseResponse(f);
  ASSERT_TRUE(v.ok());
  EXPECT_EQ(v->receiver_index, 0x12345640u);
  EXPECT_EQ(v->noise.data() - f.data(), 12);
  EXPECT_EQ(v->mac1.data() - f.data(), 116);
  const Octets c = CookieReply();
  auto w = ParseCookieReply(c);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->salt.data() - c.data(), 8);
  EXPECT_EQ(w->sealed.data() - c.data(), 24);
  EXPECT_EQ(w->sealed.size(), 32u);
}

TEST(Frame, EveryOtherLengthIsRejected) {
  for (size_t size = 0; size <= 260; ++size) {
    for (Octets f : {Initiation(Pattern::kIkPsk2), Initiation(Pattern::kNnPsk0)}) {
      const size_t whole = f.size();
      f.resize(size);
      EXPECT_EQ(ParseInitiation(f).ok(), size == whole);
      if (size != whole) {
        EXPECT_EQ(ParseInitiation(f).reason(), cipe_drop_hs_bad_length);
      }
    }
    Octets r = Response(), c = CookieReply();
    r.resize(size);
    c.resize(size);
    EXPECT_EQ(ParseResponse(r).ok(), size == kResponseSize);
    EXPECT_EQ(ParseCookieReply(c).ok(), size == kCookieReplySize);
  }
}

TEST(Frame, ReservedOctetsAndLaneBits) {
  for (size_t octet : {3u, 4u}) {  // 4: low octet of the index
    for (int bit = 0; bit < (octet == 3 ? 8 : kLaneBits); ++bit) {
      for (Octets f : {Initiation(Pattern::kIkPsk2), Response(), CookieReply()}) {
        f[octet] ^= static_cast<uint8_t>(1 << bit);
        const cipe_drop_reason reason = f[0] == kTypeInitiation ? ParseInitiation(f).reason()
                                        : f[0] == kTypeResponse ? ParseResponse(f).reason()
                                                                : ParseCookieReply(f).reason();
        EXPECT_EQ(reason, cipe_drop_hs_reserved_bits);
      }
    }
  }
  Octets r = Response();
  r[8] |= 1;
  EXPECT_EQ(ParseResponse(r).reason(), cipe_drop_hs_reserved_bits);
}

TEST(Frame, UnknownTypePatternAndSuite) {
  for (int value = 0; value < 256; ++value) {
    Octets f = Initiation(Pattern::kIkPsk2);
    f[1] = static_cast<uint8_t>(value);
    if (value == 2) {
      EXPECT_EQ(ParseInitiation(f).reason(), cipe_drop_hs_bad_length);
    } else if (value != 1) {
      EXPECT_EQ(ParseInitiation(f).reason(), cipe_drop_hs_other_pattern);
    }
    f = Initiation(Pattern::kIkPsk2);
    f[2] = static_cast<uint8_t>(value);
    EXPECT_EQ(ParseInitiation(f).ok(), value == 1 || value == 2);
    if (value == 0 || value > 2) {
      EXPECT_EQ(ParseInitiation(f).reason(), cipe_drop_hs_other_suite);
    }
    f = Initiation(Pattern::kIkPsk2);
    f[0] = static_cast<uint8_t>(value);
    EXPECT_EQ(ParseInitiation(f).ok(), value == kTypeInitiation);
    const auto kind = ClassifyFrame(f);
    EXPECT_EQ(kind.ok(), value >= 0x51 && value <= 0x54);
    if (!kind.ok()) {
      EXPECT_EQ(kind.reason(),
                value >> 4 == 5 ? cipe_drop_rx_unknown_type : cipe_drop_hs_other_protocol);
    }
  }
  EXPECT_EQ(ClassifyFrame({}).reason(), cipe_drop_rx_truncated);
}

TEST(Frame, Data) {
  Octets f(kDataOverhead);
  WriteDataHeader(0x12345640 | 5, 0x0807060504030201, f.data());
  EXPECT_EQ(Octets(f.begin(), f.begin() + 16),
            (Octets{0x54, 0, 0, 0, 0x45, 0x56, 0x34, 0x12, 1, 2, 3, 4, 5, 6, 7, 8}));
  auto v = ParseData(f);
  ASSERT_TRUE(v.ok());
  EXPECT_EQ(v->lane, 5);
  EXPECT_EQ(v->counter, 0x0807060504030201u);
  EXPECT_EQ(v->sealed.size(), kTagSize);
  for (size_t size = 0; size < kDataOverhead; ++size) {
    EXPECT_EQ(ParseData(absl::MakeConstSpan(f).first(size)).reason(), cipe_drop_rx_truncated);
  }
  for (int bit = 8; bit < 32; ++bit) {
    Octets g = f;
    g[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_EQ(ParseData(g).reason(), cipe_drop_rx_reserved_bits);
  }
  f[0] = kTypeResponse;
  EXPECT_EQ(ParseData(f).reason(), cipe_drop_rx_unknown_type);
}

}  // namespace
}  // namespace cipe::protocol
