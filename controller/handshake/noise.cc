#include "handshake/noise.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"

namespace cipe::handshake {
namespace {

using protocol::kKeySize;
using protocol::kTagSize;
using protocol::Pattern;

constexpr int kMessages = 2;

// Section 7.5 and 9.4. Both patterns have psk tokens, so every `e` is also mixed into the key
// (section 9.2); a pattern without one would need a flag here.
struct PatternRow {
  const char* name;
  bool responder_static_known;  // pre-message "<- s"
  NoiseToken tokens[kMessages][6];
};

constexpr PatternRow kIkPsk2 = {
    "IKpsk2",
    true,
    {{NoiseToken::kE, NoiseToken::kEs, NoiseToken::kS, NoiseToken::kSs, NoiseToken::kEnd},
     {NoiseToken::kE, NoiseToken::kEe, NoiseToken::kSe, NoiseToken::kPsk, NoiseToken::kEnd}}};
constexpr PatternRow kNnPsk0 = {"NNpsk0",
                                false,
                                {{NoiseToken::kPsk, NoiseToken::kE, NoiseToken::kEnd},
                                 {NoiseToken::kE, NoiseToken::kEe, NoiseToken::kEnd}}};

const PatternRow& Row(Pattern pattern) { return pattern == Pattern::kIkPsk2 ? kIkPsk2 : kNnPsk0; }

std::array<uint8_t, kKeySize> ToArray(absl::Span<const uint8_t> octets) {
  std::array<uint8_t, kKeySize> out{};
  std::copy_n(octets.begin(), std::min(octets.size(), out.size()), out.begin());
  return out;
}

}  // namespace

std::string NoiseProtocolName(Pattern pattern, Suite suite) {
  return absl::StrCat("Noise_", Row(pattern).name, "_", NoiseSuiteName(suite));
}

// InitializeSymmetric(protocol_name)
SymmetricState::SymmetricState(Suite suite, const std::string& protocol_name) : suite_(suite) {
  const auto* name = reinterpret_cast<const uint8_t*>(protocol_name.data());
  if (protocol_name.size() <= kHashSize) {
    std::copy_n(name, protocol_name.size(), h_.begin());
  } else {
    h_ = Hash(suite, absl::MakeConstSpan(name, protocol_name.size()));
  }
  ck_ = Secret<32>::FromSpan(h_);
}

SymmetricState SymmetricState::Clone() const {
  SymmetricState copy(suite_);
  copy.ck_ = ck_.Clone();
  copy.h_ = h_;
  copy.k_ = k_.Clone();
  copy.has_key_ = has_key_;
  copy.n_ = n_;
  return copy;
}

void SymmetricState::MixKey(absl::Span<const uint8_t> input) {
  auto [ck, k] = Hkdf2(suite_, ck_, input);
  ck_ = std::move(ck);
  k_ = std::move(k);  // InitializeKey(temp_k)
  has_key_ = true;
  n_ = 0;
}

void SymmetricState::MixHash(absl::Span<const uint8_t> data) { h_ = Hash(suite_, h_, data); }

void SymmetricState::MixKeyAndHash(absl::Span<const uint8_t> input) {
  auto [ck, temp_h, k] = Hkdf3(suite_, ck_, input);
  ck_ = std::move(ck);
  MixHash(temp_h.UnsafeBytes());
  k_ = std::move(k);
  has_key_ = true;
  n_ = 0;
}

void SymmetricState::EncryptAndHash(absl::Span<const uint8_t> plaintext, absl::Span<uint8_t> out) {
  if (has_key_) {
    SealOnce(suite_, k_, NoiseNonce(suite_, n_++), h_, plaintext, out.data());
  } else {
    std::copy(plaintext.begin(), plaintext.end(), out.begin());
  }
  MixHash(out);
}

bool SymmetricState::DecryptAndHash(absl::Span<const uint8_t> ciphertext, absl::Span<uint8_t> out) {
  if (has_key_) {
    if (!OpenOnce(suite_, k_, NoiseNonce(suite_, n_), h_, ciphertext, out.data())) return false;
    ++n_;
  } else {
    std::copy(ciphertext.begin(), ciphertext.end(), out.begin());
  }
  MixHash(ciphertext);
  return true;
}

void SymmetricState::Split(Secret<32>* k1, Secret<32>* k2) const {
  auto [first, second] = Hkdf2(suite_, ck_, {});
  *k1 = std::move(first);
  *k2 = std::move(second);
}

NoiseHandshake::NoiseHandshake(Pattern pattern, Suite suite, bool initiator,
                               absl::Span<const uint8_t> prologue, const Keys& keys)
    : pattern_(pattern),
      initiator_(initiator),
      symmetric_(suite, NoiseProtocolName(pattern, suite)) {
  if (keys.local_static != nullptr) s_ = keys.local_static->Clone();
  if (keys.psk != nullptr) psk_ = keys.psk->Clone();
  s_public_ = ToArray(keys.local_static_public);
  rs_ = ToArray(keys.remote_static);
  symmetric_.MixHash(prologue);
  if (Row(pattern).responder_static_known) symmetric_.MixHash(initiator ? rs_ : s_public_);
}

NoiseHandshake NoiseHandshake::Clone() const {
  NoiseHandshake copy(symmetric_.Clone());
  copy.pattern_ = pattern_;
  copy.initiator_ = initiator_;
  copy.s_ = s_.Clone();
  copy.e_ = e_.Clone();
  copy.psk_ = psk_.Clone();
  copy.s_public_ = s_public_;
  copy.e_public_ = e_public_;
  copy.rs_ = rs_;
  copy.re_ = re_;
  copy.message_ = message_;
  copy.token_ = token_;
  return copy;
}

bool NoiseHandshake::finished() const { return message_ >= kMessages; }

NoiseToken NoiseHandshake::Next() const {
  return finished() ? NoiseToken::kEnd : Row(pattern_).tokens[message_][token_];
}

void NoiseHandshake::EndMessage() {
  ++message_;
  token_ = 0;
}

size_t NoiseHandshake::MessageOverhead() const {
  if (finished()) return 0;
  bool has_key = symmetric_.has_key();
  size_t size = 0;
  for (const NoiseToken* t = Row(pattern_).tokens[message_]; *t != NoiseToken::kEnd; ++t) {
    if (*t == NoiseToken::kE) size += kKeySize;
    if (*t == NoiseToken::kS) size += kKeySize + (has_key ? kTagSize : 0);
    if (*t != NoiseToken::kS) has_key = true;  // all others, e included, mix a key
  }
  return size + (has_key ? kTagSize : 0);
}

// MixKey(DH(..)): the one place where an all-zero shared secret ends a handshake.
NoiseError NoiseHandshake::MixDh(const Secret<32>& secret,
                                 const std::array<uint8_t, 32>& public_key) {
  Secret<32> shared;
  if (!X25519(secret, public_key, &shared)) return NoiseError::kLowOrderKey;
  symmetric_.MixKey(shared.UnsafeBytes());
  return NoiseError::kNone;
}

// The tokens that put nothing on the wire. The first letter of a DH names the initiator's key.
NoiseError NoiseHandshake::MixToken(NoiseToken token) {
  switch (token) {
    case NoiseToken::kEe:
      return MixDh(e_, re_);
    case NoiseToken::kEs:
      return initiator_ ? MixDh(e_, rs_) : MixDh(s_, re_);
    case NoiseToken::kSe:
      return initiator_ ? MixDh(s_, re_) : MixDh(e_, rs_);
    case NoiseToken::kSs:
      return MixDh(s_, rs_);
    case NoiseToken::kPsk:
      symmetric_.MixKeyAndHash(psk_.UnsafeBytes());
      return NoiseError::kNone;
    case NoiseToken::kEnd:
    case NoiseToken::kE:
    case NoiseToken::kS:
      break;
  }
  return NoiseError::kBadLength;  // never: the callers handle these three
}

NoiseError NoiseHandshake::WriteToken(NoiseToken token, Rng& rng, absl::Span<uint8_t> out,
                                      size_t* at) {
  if (token == NoiseToken::kE) {
    e_ = GeneratePrivateKey(rng);
    absl::StatusOr<PublicKeyBytes> e_public = PublicKey(e_);
    if (!e_public.ok()) return NoiseError::kLowOrderKey;
    e_public_ = *e_public;
    std::copy(e_public_.begin(), e_public_.end(), out.begin() + *at);
    *at += kKeySize;
    symmetric_.MixHash(e_public_);
    symmetric_.MixKey(e_public_);  // section 9.2
    return NoiseError::kNone;
  }
  if (token == NoiseToken::kS) {
    const size_t size = kKeySize + (symmetric_.has_key() ? kTagSize : 0);
    symmetric_.EncryptAndHash(s_public_, out.subspan(*at, size));
    *at += size;
    return NoiseError::kNone;
  }
  return MixToken(token);
}

NoiseError NoiseHandshake::WriteMessage(absl::Span<const uint8_t> payload, Rng& rng,
                                        absl::Span<uint8_t> out) {
  if (finished() || !Sends(message_) || out.size() != MessageOverhead() + payload.size()) {
    return NoiseError::kBadLength;
  }
  size_t at = 0;
  for (NoiseToken token; (token = Next()) != NoiseToken::kEnd; ++token_) {
    const NoiseError error = WriteToken(token, rng, out, &at);
    if (error != NoiseError::kNone) return error;
  }
  symmetric_.EncryptAndHash(payload, out.subspan(at));
  EndMessage();
  return NoiseError::kNone;
}

NoiseError NoiseHandshake::ReadToken(NoiseToken token, absl::Span<const uint8_t> message,
                                     size_t* at) {
  if (token == NoiseToken::kE) {
    if (message.size() - *at < kKeySize) return NoiseError::kBadLength;
    re_ = ToArray(message.subspan(*at, kKeySize));
    *at += kKeySize;
    symmetric_.MixHash(re_);
    symmetric_.MixKey(re_);  // section 9.2
    return NoiseError::kNone;
  }
  if (token == NoiseToken::kS) {
    const size_t size = kKeySize + (symmetric_.has_key() ? kTagSize : 0);
    if (message.size() - *at < size) return NoiseError::kBadLength;
    if (!symmetric_.DecryptAndHash(message.subspan(*at, size), absl::MakeSpan(rs_))) {
      return NoiseError::kDecryptFailed;
    }
    *at += size;
    return NoiseError::kNone;
  }
  return MixToken(token);
}

NoiseError NoiseHandshake::ReadUntilStatic(absl::Span<const uint8_t> message, size_t* consumed) {
  *consumed = 0;
  if (finished() || Sends(message_)) return NoiseError::kBadLength;
  // Without a static key in the message the psk of the peer is needed for the first token already,
  // so all tokens are read here only when there is an `s` to stop at.
  const NoiseToken* tokens = Row(pattern_).tokens[message_];
  if (std::find(tokens, tokens + std::size(kIkPsk2.tokens[0]), NoiseToken::kS) ==
      tokens + std::size(kIkPsk2.tokens[0])) {
    return NoiseError::kNone;
  }
  for (NoiseToken token; (token = Next()) != NoiseToken::kEnd;) {
    const NoiseError error = ReadToken(token, message, consumed);
    if (error != NoiseError::kNone) return error;
    ++token_;
    if (token == NoiseToken::kS) break;
  }
  return NoiseError::kNone;
}

NoiseError NoiseHandshake::ReadRest(absl::Span<const uint8_t> rest, absl::Span<uint8_t> payload) {
  if (finished() || Sends(message_)) return NoiseError::kBadLength;
  size_t at = 0;
  for (NoiseToken token; (token = Next()) != NoiseToken::kEnd; ++token_) {
    const NoiseError error = ReadToken(token, rest, &at);
    if (error != NoiseError::kNone) return error;
  }
  const absl::Span<const uint8_t> sealed = rest.subspan(at);
  if (sealed.size() != payload.size() + (symmetric_.has_key() ? kTagSize : 0)) {
    return NoiseError::kBadLength;
  }
  if (!symmetric_.DecryptAndHash(sealed, payload)) return NoiseError::kDecryptFailed;
  EndMessage();
  return NoiseError::kNone;
}

NoiseError NoiseHandshake::ReadMessage(absl::Span<const uint8_t> message,
                                       absl::Span<uint8_t> payload) {
  size_t consumed = 0;
  const NoiseError error = ReadUntilStatic(message, &consumed);
  return error != NoiseError::kNone ? error : ReadRest(message.subspan(consumed), payload);
}

}  // namespace cipe::handshake
