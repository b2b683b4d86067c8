// Two ends with fixed keys, and a source of "randomness" that a test scripts.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/ip_address.h"
#include "handshake/initiator.h"
#include "handshake/responder.h"

namespace cipe::handshake {

using Octets = std::vector<uint8_t>;

inline Octets FromHex(const std::string& hex) {
  const std::string raw = absl::HexStringToBytes(hex);
  return Octets(raw.begin(), raw.end());
}
inline std::string ToHex(absl::Span<const uint8_t> octets) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

// Gives the pushed octets first, a counting sequence afterwards.
class ScriptedRng final : public Rng {
 public:
  explicit ScriptedRng(uint8_t seed = 1) : next_(seed) {}
  void Push(absl::Span<const uint8_t> octets) {
    queue_.insert(queue_.end(), octets.begin(), octets.end());
  }
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& o : out) {
      if (queue_.empty()) {
        o = next_ = static_cast<uint8_t>(next_ * 5 + 17);
      } else {
        o = queue_.front();
        queue_.pop_front();
      }
    }
  }

 private:
  std::deque<uint8_t> queue_;
  uint8_t next_;
};

inline Secret<32> Key(uint8_t first) {
  Octets o(32);
  for (size_t i = 0; i < o.size(); ++i) o[i] = static_cast<uint8_t>(first + i);
  return Secret<32>::FromSpan(o);
}

inline protocol::Parameters Params(uint8_t node, const char* v4, const char* v6) {
  protocol::Parameters p;
  p.node_id.fill(node);
  p.lanes = 2;
  p.mtu = 1420;
  p.ipv4 = *IpAddress::Parse(v4);
  p.ipv6 = *IpAddress::Parse(v6);
  return p;
}

inline constexpr uint32_t kIndexA = 0x0a0b0c40;
inline constexpr uint32_t kIndexB = 0x01020380;
inline constexpr int64_t kNow = 1'700'000'000'123'456'789;

struct Case {
  protocol::Pattern pattern;
  Suite suite;
};
inline const Case kCases[] = {
    {protocol::Pattern::kIkPsk2, Suite::kAesGcmSha256},
    {protocol::Pattern::kIkPsk2, Suite::kChaChaPolyBlake2s},
    {protocol::Pattern::kNnPsk0, Suite::kAesGcmSha256},
    {protocol::Pattern::kNnPsk0, Suite::kChaChaPolyBlake2s},
};

// Alice starts, Bob answers.
struct TwoEnds {
  explicit TwoEnds(const Case& c)
      : pattern(c.pattern),
        suite(c.suite),
        alice(*Identity::Create(Key(0x10))),
        bob(*Identity::Create(Key(0x40))),
        shared(*SharedKeyIdentity::Create(Key(0x70).UnsafeBytes())),
        psk(Key(0xa0)),
        alice_params(Params(0xa1, "10.9.0.1", "fd00::1")),
        bob_params(Params(0xb2, "10.9.0.2", "fd00::2")),
        bob_keys(c.suite, &bob) {
    EXPECT_TRUE(bob_keys.AddSharedKey(&shared).ok());
  }

  InitiatorOptions Options() const {
    InitiatorOptions o;
    o.pattern = pattern;
    o.suite = suite;
    o.local = &alice;
    o.remote_public_key = bob.public_key();
    o.psk = &psk;
    o.shared = &shared;
    o.parameters = alice_params;
    o.timestamp = protocol::Tai64n::FromWall(WallTime{kNow});
    o.sender_index = kIndexA;
    return o;
  }
  Initiator Start() { return *Initiator::Create(Options(), rng); }

  // Bob's whole road. On success `response` and `bob_session` are set.
  std::optional<cipe_drop_reason> Answer(absl::Span<const uint8_t> frame) {
    auto peeked = bob_keys.Peek(frame);
    if (!peeked.ok()) return peeked.reason();
    auto responder = Responder::Create(bob_keys, *peeked);
    if (!responder.ok()) return responder.reason();
    auto payload = responder->Consume(&psk, bob_params.node_id);
    if (!payload.ok()) return payload.reason();
    initiation = *payload;
    if (pattern == protocol::Pattern::kIkPsk2) {
      EXPECT_EQ(responder->remote_public_key(), alice.public_key());
    } else {
      EXPECT_EQ(responder->key_id(), shared.key_id());
    }
    response.assign(protocol::kResponseSize, 0);
    auto session = responder->BuildResponse(bob_params, kIndexB, rng, absl::MakeSpan(response));
    if (!session.ok()) return session.reason();
    bob_session = *std::move(session);
    return std::nullopt;
  }

  protocol::Pattern pattern;
  Suite suite;
  Identity alice, bob;
  SharedKeyIdentity shared;
  Secret<32> psk;
  protocol::Parameters alice_params, bob_params;
  ListenerKeys bob_keys;
  ScriptedRng rng;
  protocol::InitiationPayload initiation;
  Octets response;
  std::optional<SessionSecrets> bob_session;
};

// mac1 as an attacker who knows the public keys can make it.
inline void FixMac1(Octets& frame, const MacKeys& receiver) {
  const size_t at = frame.size() - 2 * protocol::kMacSize;
  const Mac mac = ComputeMac1(receiver, absl::MakeConstSpan(frame).first(at));
  std::copy(mac.begin(), mac.end(), frame.begin() + at);
}

}  // namespace cipe::handshake
