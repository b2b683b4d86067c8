// Who we are, who the peer is: key pairs (IKpsk2) and shared keys (NNpsk0), with the mac keys that
// are derived from them once. docs/protocol.md, "Identities".
#pragma once

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "crypto/secret.h"

namespace cipe::handshake {

using PublicKeyOctets = std::array<uint8_t, 32>;
using KeyId = std::array<uint8_t, 8>;

// Keys for what is sent *to* the owner: mac1, and cookies the owner seals.
struct MacKeys {
  Secret<32> mac1;
  Secret<32> cookie;

  static MacKeys ForPublicKey(const PublicKeyOctets& key);
  MacKeys Clone() const;
};

// A key pair of ours.
class Identity {
 public:
  // InvalidArgument when no public key can be computed from the private one.
  static absl::StatusOr<Identity> Create(const Secret<32>& private_key);

  const Secret<32>& private_key() const { return private_key_; }
  const PublicKeyOctets& public_key() const { return public_key_; }
  const MacKeys& mac_keys() const { return mac_keys_; }

 private:
  Identity(Secret<32> private_key, const PublicKeyOctets& public_key);

  Secret<32> private_key_;
  PublicKeyOctets public_key_;
  MacKeys mac_keys_;
};

// A key both ends hold. PSK, mac keys and key id are HKDF-SHA256 outputs (RFC 5869) of key and
// length under labels of their own, whatever the suite.
class SharedKeyIdentity {
 public:
  // `key` has 16 or 32 octets of full entropy, never a passphrase; else InvalidArgument.
  static absl::StatusOr<SharedKeyIdentity> Create(const SecretBytes& key);
  static absl::StatusOr<SharedKeyIdentity> Create(absl::Span<const uint8_t> key);

  const Secret<32>& psk() const { return psk_; }
  const MacKeys& mac_keys() const { return mac_keys_; }
  // Travels in clear: names the key, and links all handshakes made with it.
  const KeyId& key_id() const { return key_id_; }

 private:
  SharedKeyIdentity() = default;

  Secret<32> psk_;
  MacKeys mac_keys_;
  KeyId key_id_{};
};

}  // namespace cipe::handshake
