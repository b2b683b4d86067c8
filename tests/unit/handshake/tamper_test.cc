// Every single-bit change and every truncation of every handshake frame, with and without a mac1
// that fits the change.
#include <gtest/gtest.h>

#include "tests/unit/handshake/two_ends.h"

namespace cipe::handshake {
namespace {

using protocol::Pattern;

class Tamper : public testing::TestWithParam<Case> {
 protected:
  const MacKeys& KeysOf(const TwoEnds& t, bool alice) const {
    if (t.pattern == Pattern::kNnPsk0) return t.shared.mac_keys();
    return alice ? t.alice.mac_keys() : t.bob.mac_keys();
  }
  static Octets Flipped(absl::Span<const uint8_t> frame, size_t bit) {
    Octets f(frame.begin(), frame.end());
    f[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    return f;
  }
};
INSTANTIATE_TEST_SUITE_P(All, Tamper, testing::ValuesIn(kCases));

TEST_P(Tamper, InitiationBits) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  const size_t before_mac2 = alice.frame().size() - protocol::kMacSize;
  const size_t before_mac1 = before_mac2 - protocol::kMacSize;
  for (size_t bit = 0; bit < before_mac2 * 8; ++bit) {
    Octets f = Flipped(alice.frame(), bit);
    EXPECT_NE(t.Answer(f), std::nullopt) << "bit " << bit;
    if (bit >= before_mac1 * 8) continue;
    FixMac1(f, KeysOf(t, false));
    EXPECT_NE(t.Answer(f), std::nullopt) << "bit " << bit << " with mac1";
  }
  EXPECT_FALSE(t.bob_session.has_value());
  for (size_t bit = before_mac2 * 8; bit < alice.frame().size() * 8; ++bit) {
    EXPECT_EQ(t.Answer(Flipped(alice.frame(), bit)), std::nullopt) << "mac2 is for load only";
  }
}

TEST_P(Tamper, ResponseBits) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
  const size_t before_mac2 = t.response.size() - protocol::kMacSize;
  const size_t before_mac1 = before_mac2 - protocol::kMacSize;
  for (size_t bit = 0; bit < before_mac2 * 8; ++bit) {
    Octets f = Flipped(t.response, bit);
    EXPECT_FALSE(alice.ConsumeResponse(f).ok()) << "bit " << bit;
    if (bit >= before_mac1 * 8) continue;
    FixMac1(f, KeysOf(t, true));
    EXPECT_FALSE(alice.ConsumeResponse(f).ok()) << "bit " << bit << " with mac1";
  }
  // No state was lost to any of them.
  auto a = alice.ConsumeResponse(t.response);
  ASSERT_TRUE(a.ok());
  EXPECT_TRUE(a->send_key == t.bob_session->receive_key);
}

TEST_P(Tamper, CookieReplyBits) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  auto peeked = t.bob_keys.Peek(alice.frame());
  ASSERT_TRUE(peeked.ok());
  Octets reply(protocol::kCookieReplySize);
  BuildCookieReply(peeked->view, *peeked->mac_keys, Cookie{1, 2, 3}, t.rng, absl::MakeSpan(reply));
  const Instant now = FromNanos(1);
  CookieHolder holder;
  for (size_t bit = 0; bit < reply.size() * 8; ++bit) {
    EXPECT_FALSE(alice.ConsumeCookieReply(Flipped(reply, bit), now, holder).ok()) << "bit " << bit;
    EXPECT_FALSE(holder.Get(now).has_value());
  }
  for (size_t size = 0; size < reply.size(); ++size) {
    EXPECT_FALSE(
        alice.ConsumeCookieReply(absl::MakeConstSpan(reply).first(size), now, holder).ok());
  }
  ASSERT_TRUE(alice.ConsumeCookieReply(reply, now, holder).ok());
  EXPECT_EQ(holder.Get(now), (Cookie{1, 2, 3}));
}

TEST_P(Tamper, Truncation) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  for (size_t size = 0; size < alice.frame().size(); ++size) {
    EXPECT_EQ(t.Answer(alice.frame().first(size)), cipe_drop_hs_bad_length);
  }
  Octets longer(alice.frame().begin(), alice.frame().end());
  longer.push_back(0);
  EXPECT_EQ(t.Answer(longer), cipe_drop_hs_bad_length);
  ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
  for (size_t size = 0; size < t.response.size(); ++size) {
    EXPECT_EQ(alice.ConsumeResponse(absl::MakeConstSpan(t.response).first(size)).reason(),
              cipe_drop_hs_bad_length);
  }
  longer = t.response;
  longer.push_back(0);
  EXPECT_EQ(alice.ConsumeResponse(longer).reason(), cipe_drop_hs_bad_length);
  EXPECT_TRUE(alice.ConsumeResponse(t.response).ok());
}

}  // namespace
}  // namespace cipe::handshake
