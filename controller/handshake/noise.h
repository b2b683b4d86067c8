// The Noise handshake (Perrin, "The Noise Protocol Framework", revision 34), driven by a row per
// pattern and by the suite. Step names are those of the specification. No I/O, no clock; a pattern
// more is a row more in noise.cc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/types/span.h"
#include "base/rng.h"
#include "crypto/secret.h"
#include "crypto/suite.h"
#include "protocol/frame.h"

namespace cipe::handshake {

// Section 7: what a message consists of before its payload.
enum class NoiseToken : uint8_t { kEnd, kE, kS, kEe, kEs, kSe, kSs, kPsk };

enum class NoiseError { kNone, kBadLength, kDecryptFailed, kLowOrderKey };

// "Noise_IKpsk2_25519_AESGCM_SHA256" and so on.
std::string NoiseProtocolName(protocol::Pattern pattern, Suite suite);

// Section 5.1 and 5.2: ck, h, and the key and nonce of the current CipherState.
class SymmetricState {
 public:
  SymmetricState(Suite suite, const std::string& protocol_name);  // InitializeSymmetric
  SymmetricState Clone() const;

  void MixKey(absl::Span<const uint8_t> input);
  void MixHash(absl::Span<const uint8_t> data);
  void MixKeyAndHash(absl::Span<const uint8_t> input);
  // `out` holds plaintext.size() + 16 once there is a key, else plaintext.size().
  void EncryptAndHash(absl::Span<const uint8_t> plaintext, absl::Span<uint8_t> out);
  // On false nothing has changed but `out`, which is wiped.
  bool DecryptAndHash(absl::Span<const uint8_t> ciphertext, absl::Span<uint8_t> out);
  // k1 is for initiator to responder, k2 for the other way.
  void Split(Secret<32>* k1, Secret<32>* k2) const;

  bool has_key() const { return has_key_; }
  const std::array<uint8_t, 32>& hash() const { return h_; }
  Suite suite() const { return suite_; }

 private:
  explicit SymmetricState(Suite suite) : suite_(suite) {}

  Suite suite_;
  Secret<32> ck_;
  std::array<uint8_t, 32> h_{};
  Secret<32> k_;
  bool has_key_ = false;
  uint64_t n_ = 0;
};

// Section 5.3. A call that returns an error leaves the state unusable: work on a Clone().
class NoiseHandshake {
 public:
  struct Keys {
    const Secret<32>* local_static = nullptr;       // s, when the pattern has one
    absl::Span<const uint8_t> local_static_public;  // its public key
    absl::Span<const uint8_t> remote_static;        // rs, when known beforehand
    const Secret<32>* psk = nullptr;                // null = zeros
  };

  // Initialize(): prologue and pre-messages.
  NoiseHandshake(protocol::Pattern pattern, Suite suite, bool initiator,
                 absl::Span<const uint8_t> prologue, const Keys& keys);
  NoiseHandshake Clone() const;

  // Before the psk token is met.
  void SetPsk(const Secret<32>& psk) { psk_ = psk.Clone(); }

  // WriteMessage(). `out` holds exactly the message: see MessageOverhead. The ephemeral private key
  // is the first 32 octets drawn from `rng`.
  NoiseError WriteMessage(absl::Span<const uint8_t> payload, Rng& rng, absl::Span<uint8_t> out);

  // ReadMessage() in two halves, so that the caller can look up rs: the first reads up to and with
  // the static key, or nothing when the message has none; the second reads what is left.
  // *consumed = octets of `message` used.
  NoiseError ReadUntilStatic(absl::Span<const uint8_t> message, size_t* consumed);
  NoiseError ReadRest(absl::Span<const uint8_t> rest, absl::Span<uint8_t> payload);
  NoiseError ReadMessage(absl::Span<const uint8_t> message, absl::Span<uint8_t> payload);

  // Octets of the next message beyond its payload.
  size_t MessageOverhead() const;
  bool finished() const;
  // When finished(): k1 initiator to responder, k2 back.
  void Split(Secret<32>* k1, Secret<32>* k2) const { symmetric_.Split(k1, k2); }
  const std::array<uint8_t, 32>& hash() const { return symmetric_.hash(); }
  const std::array<uint8_t, 32>& remote_static() const { return rs_; }
  const std::array<uint8_t, 32>& remote_ephemeral() const { return re_; }
  const std::array<uint8_t, 32>& local_ephemeral() const { return e_public_; }

 private:
  explicit NoiseHandshake(SymmetricState symmetric) : symmetric_(std::move(symmetric)) {}

  bool Sends(int message) const { return (message % 2 == 0) == initiator_; }
  NoiseToken Next() const;  // kEnd at the end of the message
  void EndMessage();

  NoiseError ReadToken(NoiseToken token, absl::Span<const uint8_t> message, size_t* at);
  NoiseError WriteToken(NoiseToken token, Rng& rng, absl::Span<uint8_t> out, size_t* at);
  NoiseError MixDh(const Secret<32>& secret, const std::array<uint8_t, 32>& public_key);
  NoiseError MixToken(NoiseToken token);

  protocol::Pattern pattern_{};
  bool initiator_ = false;
  SymmetricState symmetric_;
  Secret<32> s_;
  Secret<32> e_;
  Secret<32> psk_;
  std::array<uint8_t, 32> s_public_{};
  std::array<uint8_t, 32> e_public_{};
  std::array<uint8_t, 32> rs_{};
  std::array<uint8_t, 32> re_{};
  int message_ = 0;  // of the pattern
  int token_ = 0;    // of the message
};

}  // namespace cipe::handshake
