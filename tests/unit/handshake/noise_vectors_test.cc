// The machine against published vectors: tests/vectors/noise.json (cacophony).
#include <gtest/gtest.h>

#include <fstream>

#include "crypto/aead.h"
#include "crypto/x25519.h"
#include "nlohmann/json.hpp"
#include "tests/unit/handshake/two_ends.h"

namespace cipe::handshake {
namespace {

Secret<32> SecretOf(const nlohmann::json& v, const char* name) {
  return v.contains(name) ? Secret<32>::FromSpan(FromHex(v[name])) : Secret<32>();
}

struct Side {
  Side(const nlohmann::json& v, bool initiator, protocol::Pattern pattern, Suite suite)
      : s(SecretOf(v, initiator ? "init_static" : "resp_static")),
        psk(Secret<32>::FromSpan(FromHex(v[initiator ? "init_psks" : "resp_psks"][0]))) {
    const bool ik = pattern == protocol::Pattern::kIkPsk2;
    if (ik) s_public = *PublicKey(s);
    if (ik && initiator) rs = FromHex(v["init_remote_static"]);
    rng.Push(FromHex(v[initiator ? "init_ephemeral" : "resp_ephemeral"]));
    prologue = FromHex(v[initiator ? "init_prologue" : "resp_prologue"]);
    NoiseHandshake::Keys keys;
    if (ik) keys.local_static = &s;
    if (ik) keys.local_static_public = s_public;
    keys.remote_static = rs;
    keys.psk = &psk;
    noise.emplace(pattern, suite, initiator, prologue, keys);
  }

  Secret<32> s, psk;
  PublicKeyBytes s_public{};
  Octets rs, prologue;
  ScriptedRng rng;
  std::optional<NoiseHandshake> noise;
};

TEST(NoiseVectors, AllFour) {
  std::ifstream in(CIPE_SOURCE_DIR "/tests/vectors/noise.json");
  ASSERT_TRUE(in) << "tests/vectors/noise.json is missing";
  const nlohmann::json doc = nlohmann::json::parse(in);
  int seen = 0;
  for (const Case& c : kCases) {
    for (const auto& v : doc["vectors"]) {
      if (v["protocol_name"] != NoiseProtocolName(c.pattern, c.suite)) continue;
      SCOPED_TRACE(std::string(v["protocol_name"]));
      ++seen;
      Side alice(v, true, c.pattern, c.suite), bob(v, false, c.pattern, c.suite);
      ASSERT_GE(v["messages"].size(), 2u);
      for (int i = 0; i < 2; ++i) {
        Side& from = i == 0 ? alice : bob;
        Side& to = i == 0 ? bob : alice;
        const Octets payload = FromHex(v["messages"][i]["payload"]);
        Octets message(payload.size() + from.noise->MessageOverhead());
        ASSERT_EQ(from.noise->WriteMessage(payload, from.rng, absl::MakeSpan(message)),
                  NoiseError::kNone);
        EXPECT_EQ(ToHex(message), std::string(v["messages"][i]["ciphertext"]));
        Octets back(payload.size());
        ASSERT_EQ(to.noise->ReadMessage(message, absl::MakeSpan(back)), NoiseError::kNone);
        EXPECT_EQ(back, payload);
      }
      ASSERT_TRUE(alice.noise->finished() && bob.noise->finished());
      EXPECT_EQ(ToHex(alice.noise->hash()), std::string(v["handshake_hash"]));
      EXPECT_EQ(ToHex(bob.noise->hash()), std::string(v["handshake_hash"]));
      // Transport messages, where the vectors go on: they prove Split().
      Secret<32> k[2];
      alice.noise->Split(&k[0], &k[1]);
      uint64_t n[2] = {0, 0};
      for (size_t i = 2; i < v["messages"].size(); ++i) {
        const Octets payload = FromHex(v["messages"][i]["payload"]);
        Octets sealed(payload.size() + 16);
        SealOnce(c.suite, k[i % 2], NoiseNonce(c.suite, n[i % 2]++), {}, payload, sealed.data());
        EXPECT_EQ(ToHex(sealed), std::string(v["messages"][i]["ciphertext"]));
      }
    }
  }
  EXPECT_EQ(seen, 4);
}

TEST(Noise, CallsOutOfTurnAreRefused) {
  TwoEnds t(kCases[0]);
  NoiseHandshake::Keys keys;
  NoiseHandshake bob(protocol::Pattern::kNnPsk0, Suite::kAesGcmSha256, false, {}, keys);
  Octets out(64);
  EXPECT_EQ(bob.WriteMessage({}, t.rng, absl::MakeSpan(out)), NoiseError::kBadLength);
  NoiseHandshake alice(protocol::Pattern::kNnPsk0, Suite::kAesGcmSha256, true, {}, keys);
  EXPECT_EQ(alice.ReadMessage(out, {}), NoiseError::kBadLength);
  EXPECT_EQ(alice.MessageOverhead(), 48u);
  EXPECT_EQ(alice.WriteMessage({}, t.rng, absl::MakeSpan(out)), NoiseError::kBadLength);
  for (size_t size = 0; size < 48; ++size) {
    NoiseHandshake fresh = bob.Clone();
    EXPECT_NE(fresh.ReadMessage(absl::MakeConstSpan(out).first(size), {}), NoiseError::kNone);
  }
}

}  // namespace
}  // namespace cipe::handshake
