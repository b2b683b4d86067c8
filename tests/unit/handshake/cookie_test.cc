#include "handshake/cookie.h"

#include <gtest/gtest.h>

#include "tests/unit/handshake/two_ends.h"

namespace cipe::handshake {
namespace {

using namespace std::chrono_literals;

const Instant kStart = FromNanos(1'000'000'000'000);
const Endpoint kSource = *Endpoint::Parse("192.0.2.1:6789");

class CookieCase : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, CookieCase, testing::ValuesIn(kCases));

TEST_P(CookieCase, UnderLoadOnlyAProvenSourceGetsIn) {
  TwoEnds t(GetParam());
  CookieIssuer issuer(t.rng, kStart);
  Initiator alice = t.Start();
  auto peeked = t.bob_keys.Peek(alice.frame());
  ASSERT_TRUE(peeked.ok());
  EXPECT_FALSE(issuer.CheckMac2(peeked->view, kSource, kStart));

  Octets reply(protocol::kCookieReplySize);
  BuildCookieReply(peeked->view, *peeked->mac_keys, issuer.CookieFor(kSource, kStart), t.rng,
                   absl::MakeSpan(reply));
  EXPECT_LE(reply.size(), alice.frame().size());
  CookieHolder holder;
  ASSERT_TRUE(alice.ConsumeCookieReply(reply, kStart, holder).ok());

  InitiatorOptions o = t.Options();
  o.cookie = holder.Get(kStart + 5s);
  ASSERT_TRUE(o.cookie.has_value());
  const Initiator again = *Initiator::Create(o, t.rng);
  auto second = t.bob_keys.Peek(again.frame());
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(issuer.CheckMac2(second->view, kSource, kStart + 5s));
  EXPECT_FALSE(issuer.CheckMac2(second->view, *Endpoint::Parse("192.0.2.1:6790"), kStart + 5s));
  EXPECT_FALSE(issuer.CheckMac2(second->view, *Endpoint::Parse("192.0.2.2:6789"), kStart + 5s));
  for (size_t bit = 0; bit < 128; ++bit) {
    Octets f(again.frame().begin(), again.frame().end());
    f[f.size() - 16 + bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(issuer.CheckMac2(*protocol::ParseInitiation(f), kSource, kStart + 5s));
  }
  EXPECT_EQ(t.Answer(again.frame()), std::nullopt);
}

TEST_P(CookieCase, ReplyIsBoundToTheInitiation) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  Initiator other = t.Start();
  auto peeked = t.bob_keys.Peek(alice.frame());
  Octets reply(protocol::kCookieReplySize);
  BuildCookieReply(peeked->view, *peeked->mac_keys, Cookie{5}, t.rng, absl::MakeSpan(reply));
  CookieHolder holder;
  EXPECT_EQ(other.ConsumeCookieReply(reply, kStart, holder).reason(), cipe_drop_hs_bad_cookie);
  EXPECT_FALSE(holder.Get(kStart).has_value());
  ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
  ASSERT_TRUE(alice.ConsumeResponse(t.response).ok());
  EXPECT_EQ(alice.ConsumeCookieReply(reply, kStart, holder).reason(), cipe_drop_hs_unknown_index);
}

TEST(Cookie, SecretAndCookieAge) {
  TwoEnds t(kCases[0]);
  CookieIssuer issuer(t.rng, kStart);
  InitiatorOptions o = t.Options();
  o.cookie = issuer.CookieFor(kSource, kStart + 119s);
  const Initiator alice = *Initiator::Create(o, t.rng);
  const auto view = *protocol::ParseInitiation(alice.frame());
  EXPECT_TRUE(issuer.CheckMac2(view, kSource, kStart + 119s));
  EXPECT_TRUE(issuer.CheckMac2(view, kSource, kStart + 121s));  // from the secret before
  EXPECT_NE(issuer.CookieFor(kSource, kStart + 121s), *o.cookie);
  EXPECT_FALSE(issuer.CheckMac2(view, kSource, kStart + 242s));
  CookieIssuer sleeper(t.rng, kStart);
  o.cookie = sleeper.CookieFor(kSource, kStart);
  const Initiator late = *Initiator::Create(o, t.rng);
  EXPECT_FALSE(sleeper.CheckMac2(*protocol::ParseInitiation(late.frame()), kSource, kStart + 241s));
}

TEST(Cookie, HolderForgetsAfter120Seconds) {
  TwoEnds t(kCases[0]);
  Initiator alice = t.Start();
  auto peeked = t.bob_keys.Peek(alice.frame());
  Octets reply(protocol::kCookieReplySize);
  BuildCookieReply(peeked->view, *peeked->mac_keys, Cookie{5}, t.rng, absl::MakeSpan(reply));
  CookieHolder holder;
  ASSERT_TRUE(alice.ConsumeCookieReply(reply, kStart, holder).ok());
  EXPECT_TRUE(holder.Get(kStart + 119s).has_value());
  EXPECT_FALSE(holder.Get(kStart + 120s).has_value());
  holder.Forget();
  EXPECT_FALSE(holder.Get(kStart).has_value());
}

TEST(Cookie, SourcesDiffer) {
  TwoEnds t(kCases[0]);
  CookieIssuer issuer(t.rng, kStart);
  const Cookie v4 = issuer.CookieFor(kSource, kStart);
  EXPECT_EQ(v4, issuer.CookieFor(kSource, kStart + 60s));
  EXPECT_NE(v4, issuer.CookieFor(*Endpoint::Parse("[2001:db8::1]:6789"), kStart));
}

}  // namespace
}  // namespace cipe::handshake
