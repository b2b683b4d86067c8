// Whole handshakes, and every way in which the two ends may not fit.
#include <gtest/gtest.h>

#include "crypto/x25519.h"
#include "tests/unit/handshake/two_ends.h"

namespace cipe::handshake {
namespace {

using protocol::Pattern;

class Exchange : public testing::TestWithParam<Case> {
 protected:
  bool ik() const { return GetParam().pattern == Pattern::kIkPsk2; }
};
INSTANTIATE_TEST_SUITE_P(All, Exchange, testing::ValuesIn(kCases));

TEST_P(Exchange, BothEndsAgree) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
  EXPECT_EQ(t.initiation.parameters, t.alice_params);
  EXPECT_EQ(t.initiation.timestamp.UnixNanos(), kNow / 20'000'000 * 20'000'000);
  EXPECT_LE(t.response.size(), alice.frame().size());
  auto a = alice.ConsumeResponse(t.response);
  ASSERT_TRUE(a.ok());
  const SessionSecrets& b = *t.bob_session;
  EXPECT_TRUE(a->send_key == b.receive_key && a->receive_key == b.send_key);
  EXPECT_FALSE(a->send_key == a->receive_key);
  EXPECT_EQ(a->handshake_hash, b.handshake_hash);
  EXPECT_EQ(a->initiation_ephemeral, b.initiation_ephemeral);
  EXPECT_EQ(a->initiation_ephemeral, alice.ephemeral());
  EXPECT_EQ(a->local_index, kIndexA);
  EXPECT_EQ(a->remote_index, kIndexB);
  EXPECT_EQ(b.local_index, kIndexB);
  EXPECT_EQ(b.remote_index, kIndexA);
  EXPECT_EQ(a->remote, t.bob_params);
  EXPECT_EQ(b.remote, t.alice_params);
  EXPECT_TRUE(a->initiator && !b.initiator);
  const Secret<32> lane0 = LaneKey(t.suite, a->send_key, 0);
  EXPECT_TRUE(lane0 == LaneKey(t.suite, b.receive_key, 0));
  EXPECT_FALSE(lane0 == LaneKey(t.suite, a->send_key, 1));
  EXPECT_FALSE(lane0 == a->send_key);
  // A second copy of the response finds nothing in progress.
  EXPECT_EQ(alice.ConsumeResponse(t.response).reason(), cipe_drop_hs_unknown_index);
}

TEST_P(Exchange, WrongPsk) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  if (ik()) {
    // Bob cannot know yet: he answers; Alice reports.
    t.psk = Key(0x01);
    ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
    EXPECT_EQ(alice.ConsumeResponse(t.response).reason(), cipe_drop_hs_wrong_psk);
  } else {
    const SharedKeyIdentity other = *SharedKeyIdentity::Create(Key(0x71).UnsafeBytes());
    ListenerKeys keys(t.suite, nullptr);
    ASSERT_TRUE(keys.AddSharedKey(&other).ok());
    EXPECT_EQ(keys.Peek(alice.frame()).reason(), cipe_drop_hs_unknown_peer);
  }
}

TEST(IkPsk2, ZeroPskIsNoPsk) {
  for (const Case& c : {kCases[0], kCases[1]}) {
    TwoEnds t(c);
    InitiatorOptions o = t.Options();
    o.psk = nullptr;
    Initiator alice = *Initiator::Create(o, t.rng);
    t.psk = Secret<32>();
    ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
    EXPECT_TRUE(alice.ConsumeResponse(t.response).ok());
  }
}

TEST_P(Exchange, OtherSuite) {
  TwoEnds t(GetParam());
  const Suite other =
      t.suite == Suite::kAesGcmSha256 ? Suite::kChaChaPolyBlake2s : Suite::kAesGcmSha256;
  TwoEnds u({t.pattern, other});
  EXPECT_EQ(u.Answer(t.Start().frame()), cipe_drop_hs_other_suite);
  Initiator a = t.Start(), b = u.Start();
  ASSERT_EQ(u.Answer(b.frame()), std::nullopt);
  EXPECT_EQ(a.ConsumeResponse(u.response).reason(), cipe_drop_hs_other_suite);
  // Neither does changing the octet help.
  Octets forged = u.response;
  forged[2] = static_cast<uint8_t>(t.suite);
  FixMac1(forged, ik() ? t.alice.mac_keys() : t.shared.mac_keys());
  EXPECT_FALSE(a.ConsumeResponse(forged).ok());
}

TEST_P(Exchange, OtherPattern) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  ListenerKeys keys(t.suite, ik() ? nullptr : &t.bob);
  if (ik()) {
    EXPECT_TRUE(keys.AddSharedKey(&t.shared).ok());
  }
  EXPECT_EQ(keys.Peek(alice.frame()).reason(), cipe_drop_hs_other_pattern);
  TwoEnds u({ik() ? Pattern::kNnPsk0 : Pattern::kIkPsk2, t.suite});
  ASSERT_EQ(u.Answer(u.Start().frame()), std::nullopt);
  EXPECT_EQ(alice.ConsumeResponse(u.response).reason(), cipe_drop_hs_other_pattern);
}

TEST_P(Exchange, WrongResponderKey) {
  TwoEnds t(GetParam());
  InitiatorOptions o = t.Options();
  const SharedKeyIdentity other = *SharedKeyIdentity::Create(Key(0x71).UnsafeBytes());
  o.remote_public_key = t.alice.public_key();
  o.shared = &other;
  EXPECT_EQ(t.Answer(Initiator::Create(o, t.rng)->frame()),
            ik() ? cipe_drop_hs_bad_mac1 : cipe_drop_hs_unknown_peer);
}

TEST_P(Exchange, OwnInitiationReflected) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  ListenerKeys alice_keys(t.suite, &t.alice);
  ASSERT_TRUE(alice_keys.AddSharedKey(&t.shared).ok());
  auto peeked = alice_keys.Peek(alice.frame());
  if (ik()) {
    EXPECT_EQ(peeked.reason(), cipe_drop_hs_bad_mac1);
    return;
  }
  ASSERT_TRUE(peeked.ok());
  auto responder = Responder::Create(alice_keys, *peeked);
  ASSERT_TRUE(responder.ok());
  EXPECT_EQ(responder->Consume(nullptr, t.alice_params.node_id).reason(), cipe_drop_hs_reflected);
  // Nothing can be built from it afterwards.
  Octets out(protocol::kResponseSize);
  EXPECT_FALSE(responder->BuildResponse(t.alice_params, kIndexB, t.rng, absl::MakeSpan(out)).ok());
}

TEST_P(Exchange, OwnNodeIdInTheResponse) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  // A far end with our node id: its answer must not become a session.
  t.bob_params.node_id = t.alice_params.node_id;
  auto peeked = t.bob_keys.Peek(alice.frame());
  ASSERT_TRUE(peeked.ok());
  auto responder = Responder::Create(t.bob_keys, *peeked);
  ASSERT_TRUE(responder->Consume(&t.psk, protocol::NodeId{9}).ok());
  Octets out(protocol::kResponseSize);
  ASSERT_TRUE(responder->BuildResponse(t.bob_params, kIndexB, t.rng, absl::MakeSpan(out)).ok());
  EXPECT_EQ(alice.ConsumeResponse(out).reason(), cipe_drop_hs_reflected);
}

TEST_P(Exchange, OwnFramesAsResponses) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  EXPECT_EQ(alice.ConsumeResponse(alice.frame()).reason(), cipe_drop_hs_other_protocol);
  ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
  EXPECT_EQ(t.bob_keys.Peek(t.response).reason(), cipe_drop_hs_other_protocol);
}

TEST_P(Exchange, ResponseOfAnotherHandshake) {
  TwoEnds t(GetParam());
  Initiator first = t.Start();
  Initiator second = t.Start();  // same index, other ephemeral
  ASSERT_EQ(t.Answer(first.frame()), std::nullopt);
  EXPECT_EQ(second.ConsumeResponse(t.response).reason(),
            ik() ? cipe_drop_hs_wrong_psk : cipe_drop_hs_decrypt_failed);
  EXPECT_TRUE(first.ConsumeResponse(t.response).ok());
}

TEST_P(Exchange, StepsCannotBeRepeatedOrSkipped) {
  TwoEnds t(GetParam());
  Initiator alice = t.Start();
  auto peeked = t.bob_keys.Peek(alice.frame());
  auto responder = Responder::Create(t.bob_keys, *peeked);
  Octets out(protocol::kResponseSize);
  auto skipping = Responder::Create(t.bob_keys, *peeked);
  EXPECT_FALSE(skipping->BuildResponse(t.bob_params, kIndexB, t.rng, absl::MakeSpan(out)).ok());
  ASSERT_TRUE(responder->Consume(&t.psk, t.bob_params.node_id).ok());
  ASSERT_TRUE(responder->BuildResponse(t.bob_params, kIndexB, t.rng, absl::MakeSpan(out)).ok());
  EXPECT_FALSE(responder->BuildResponse(t.bob_params, kIndexB, t.rng, absl::MakeSpan(out)).ok());
  EXPECT_FALSE(responder->Consume(&t.psk, t.bob_params.node_id).ok());
}

TEST_P(Exchange, TimeStampsCompare) {
  TwoEnds t(GetParam());
  InitiatorOptions o = t.Options();
  ASSERT_EQ(t.Answer(Initiator::Create(o, t.rng)->frame()), std::nullopt);
  const protocol::Tai64n floor = t.initiation.timestamp;
  ASSERT_EQ(t.Answer(Initiator::Create(o, t.rng)->frame()), std::nullopt);
  EXPECT_FALSE(t.initiation.timestamp > floor);  // the same stamp again
  o.timestamp = floor.Plus(std::chrono::milliseconds(20));
  ASSERT_EQ(t.Answer(Initiator::Create(o, t.rng)->frame()), std::nullopt);
  EXPECT_GT(t.initiation.timestamp, floor);
}

// The points of small order on Curve25519 that need no reduction: 0, 1 and p - 1.
TEST(LowOrder, RemoteStaticAndEphemerals) {
  std::array<uint8_t, 32> minus_one;
  minus_one.fill(0xff);
  minus_one[0] = 0xec;
  minus_one[31] = 0x7f;
  for (const auto& point : {std::array<uint8_t, 32>{}, std::array<uint8_t, 32>{1}, minus_one}) {
    TwoEnds ik(kCases[0]), nn(kCases[2]);
    InitiatorOptions o = ik.Options();
    o.remote_public_key = point;
    EXPECT_EQ(Initiator::Create(o, ik.rng).status().code(), absl::StatusCode::kInvalidArgument);

    Initiator alice = ik.Start();
    Octets frame(alice.frame().begin(), alice.frame().end());
    std::copy(point.begin(), point.end(), frame.begin() + 8);
    FixMac1(frame, ik.bob.mac_keys());
    EXPECT_EQ(ik.Answer(frame), cipe_drop_hs_low_order_key);

    Initiator carol = nn.Start();
    ASSERT_EQ(nn.Answer(carol.frame()), std::nullopt);
    Octets response = nn.response;
    std::copy(point.begin(), point.end(), response.begin() + 12);
    FixMac1(response, nn.shared.mac_keys());
    EXPECT_EQ(carol.ConsumeResponse(response).reason(), cipe_drop_hs_low_order_key);
    EXPECT_TRUE(carol.ConsumeResponse(nn.response).ok());
  }
}

TEST(SharedKey, OutputsDependOnKeyAndLength) {
  const Octets key32(32, 7), key16(16, 7);
  const auto a = *SharedKeyIdentity::Create(absl::MakeConstSpan(key32));
  const auto b = *SharedKeyIdentity::Create(absl::MakeConstSpan(key16));
  EXPECT_NE(a.key_id(), b.key_id());
  EXPECT_FALSE(a.psk() == b.psk());
  EXPECT_FALSE(a.psk() == a.mac_keys().mac1);
  EXPECT_FALSE(a.mac_keys().mac1 == a.mac_keys().cookie);
  for (size_t size : {0u, 15u, 17u, 31u, 33u}) {
    EXPECT_FALSE(SharedKeyIdentity::Create(absl::MakeConstSpan(Octets(size, 7))).ok());
  }
  ListenerKeys keys(Suite::kAesGcmSha256, nullptr);
  EXPECT_TRUE(keys.AddSharedKey(&a).ok());
  EXPECT_TRUE(keys.AddSharedKey(&b).ok());
  EXPECT_EQ(keys.AddSharedKey(&a).code(), absl::StatusCode::kAlreadyExists);
}

TEST(Options, MissingOrWrong) {
  TwoEnds t(kCases[0]);
  InitiatorOptions o = t.Options();
  o.local = nullptr;
  EXPECT_FALSE(Initiator::Create(o, t.rng).ok());
  o = t.Options();
  o.sender_index |= 1;
  EXPECT_FALSE(Initiator::Create(o, t.rng).ok());
  o = t.Options();
  o.parameters.lanes = 0;
  EXPECT_FALSE(Initiator::Create(o, t.rng).ok());
  o = t.Options();
  o.pattern = Pattern::kNnPsk0;
  o.shared = nullptr;
  EXPECT_FALSE(Initiator::Create(o, t.rng).ok());
}

}  // namespace
}  // namespace cipe::handshake
