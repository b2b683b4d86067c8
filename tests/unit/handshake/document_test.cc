// The worked vectors of docs/protocol.md are made here, from fixed inputs, and compared with the
// text between its markers, so that document and code cannot drift apart. When the protocol changes
// on purpose, CIPE_VECTORS_OUT=FILE writes the new text to FILE.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "crypto/aead.h"
#include "tests/unit/handshake/two_ends.h"

namespace cipe::handshake {
namespace {

using protocol::Pattern;

constexpr char kBegin[] = "<!-- vectors:begin -->\n";
constexpr char kEnd[] = "<!-- vectors:end -->";

// IPv4, 10.9.0.1 to 10.9.0.2, UDP, no payload.
constexpr char kPacket[] = "4500001c00004000401126bd0a0900010a09000204d2162e0008d0c9";

class Writer {
 public:
  void Line(absl::string_view name, absl::Span<const uint8_t> octets) {
    const std::string hex = ToHex(octets);
    absl::StrAppend(&text_, name, " =");
    for (size_t at = 0; at < hex.size(); at += 64) {
      absl::StrAppend(&text_, hex.size() > 64 ? "\n  " : " ", hex.substr(at, 64));
    }
    absl::StrAppend(&text_, "\n");
  }
  void Raw(absl::string_view text) { absl::StrAppend(&text_, text); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Octets DataFrame(const SessionSecrets& from, int lane) {
  const Octets plaintext = FromHex(kPacket);
  Octets frame(protocol::kDataHeaderSize + plaintext.size() + protocol::kTagSize);
  protocol::WriteDataHeader(from.remote_index | static_cast<uint32_t>(lane), 0, frame.data());
  SealOnce(from.suite, LaneKey(from.suite, from.send_key, lane), NoiseNonce(from.suite, 0),
           absl::MakeConstSpan(frame).first(protocol::kDataHeaderSize), plaintext,
           frame.data() + protocol::kDataHeaderSize);
  return frame;
}

void Inputs(Writer& w, const TwoEnds& t) {
  if (t.pattern == Pattern::kIkPsk2) {
    w.Line("initiator_private", t.alice.private_key().UnsafeBytes());
    w.Line("initiator_public", t.alice.public_key());
    w.Line("responder_private", t.bob.private_key().UnsafeBytes());
    w.Line("responder_public", t.bob.public_key());
    w.Line("psk", t.psk.UnsafeBytes());
    w.Line("initiator_mac1_key", t.alice.mac_keys().mac1.UnsafeBytes());
    w.Line("responder_mac1_key", t.bob.mac_keys().mac1.UnsafeBytes());
    w.Line("responder_cookie_key", t.bob.mac_keys().cookie.UnsafeBytes());
  } else {
    w.Line("shared_key", Key(0x70).UnsafeBytes());
    w.Line("psk", t.shared.psk().UnsafeBytes());
    w.Line("mac1_key", t.shared.mac_keys().mac1.UnsafeBytes());
    w.Line("cookie_key", t.shared.mac_keys().cookie.UnsafeBytes());
    w.Line("key_id", t.shared.key_id());
  }
}

void Sessions(Writer& w, const SessionSecrets& a, const SessionSecrets& b) {
  w.Line("handshake_hash", a.handshake_hash);
  w.Line("initiator_to_responder_key", a.send_key.UnsafeBytes());
  w.Line("responder_to_initiator_key", b.send_key.UnsafeBytes());
  for (int lane : {0, 1}) {
    w.Line(absl::StrCat("initiator_to_responder_lane_", lane, "_key"),
           LaneKey(a.suite, a.send_key, lane).UnsafeBytes());
    w.Line(absl::StrCat("initiator_data_lane_", lane), DataFrame(a, lane));
    w.Line(absl::StrCat("responder_data_lane_", lane), DataFrame(b, lane));
  }
}

void OneCase(Writer& w, const Case& c) {
  TwoEnds t(c);
  w.Raw(absl::StrCat("### ", NoiseProtocolName(c.pattern, c.suite), "\n\n```\n"));
  Inputs(w, t);
  const Secret<32> e_a = Key(0xc0), e_b = Key(0xd8);
  Octets salt(16, 0x5a);
  const Cookie cookie = {0xc0, 0x0c, 0x1e, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
  w.Line("initiator_ephemeral_private", e_a.UnsafeBytes());
  w.Line("responder_ephemeral_private", e_b.UnsafeBytes());
  InitiatorOptions o = t.Options();
  ScriptedRng rng;
  rng.Push(e_a.UnsafeBytes());
  Initiator alice = *Initiator::Create(o, rng);
  w.Line("initiation", alice.frame());

  auto peeked = t.bob_keys.Peek(alice.frame());
  Octets reply(protocol::kCookieReplySize);
  rng.Push(salt);
  BuildCookieReply(peeked->view, *peeked->mac_keys, cookie, rng, absl::MakeSpan(reply));
  w.Line("cookie_reply", reply);
  o.cookie = cookie;
  rng.Push(e_a.UnsafeBytes());
  const Initiator with_cookie = *Initiator::Create(o, rng);
  w.Line("initiation_mac2", with_cookie.frame().last(protocol::kMacSize));

  t.rng.Push(e_b.UnsafeBytes());
  ASSERT_EQ(t.Answer(alice.frame()), std::nullopt);
  w.Line("response", t.response);
  auto a = alice.ConsumeResponse(t.response);
  ASSERT_TRUE(a.ok());
  Sessions(w, *a, *t.bob_session);
  w.Raw("```\n\n");
}

std::string MakeVectors() {
  Writer w;
  const TwoEnds t(kCases[0]);
  std::array<uint8_t, protocol::kInitiationPayloadSize> initiation;
  protocol::EncodeInitiationPayload({t.alice_params, t.Options().timestamp},
                                    absl::MakeSpan(initiation));
  std::array<uint8_t, protocol::kResponsePayloadSize> response;
  protocol::EncodeResponsePayload({t.bob_params, kIndexA, kIndexB}, absl::MakeSpan(response));
  w.Raw("### Common inputs\n\n```\n");
  w.Raw(absl::StrCat("initiator_index = 0x", absl::Hex(kIndexA, absl::kZeroPad8),
                     "\nresponder_index = 0x", absl::Hex(kIndexB, absl::kZeroPad8),
                     "\nunix_nanoseconds = ", kNow, "\n"));
  w.Line("initiation_payload", initiation);
  w.Line("response_payload", response);
  w.Line("cookie", Cookie{0xc0, 0x0c, 0x1e, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13});
  w.Line("cookie_salt", Octets(16, 0x5a));
  w.Line("data_plaintext", FromHex(kPacket));
  w.Raw("```\n\n");
  for (const Case& c : kCases) OneCase(w, c);
  return w.text();
}

TEST(ProtocolDocument, WorkedVectorsAreWhatTheCodeDoes) {
  const std::string made = MakeVectors();
  if (const char* out = std::getenv("CIPE_VECTORS_OUT"); out != nullptr) {
    std::ofstream(out) << made;
  }
  std::ifstream in(CIPE_SOURCE_DIR "/docs/protocol.md");
  ASSERT_TRUE(in) << "docs/protocol.md is missing";
  std::stringstream buffer;
  buffer << in.rdbuf();
  const std::string text = buffer.str();
  const size_t begin = text.find(kBegin), end = text.find(kEnd);
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos) << "markers are missing";
  const size_t from = begin + sizeof kBegin - 1;
  ASSERT_LE(from, end);
  EXPECT_EQ(text.substr(from, end - from), made);
}

}  // namespace
}  // namespace cipe::handshake
