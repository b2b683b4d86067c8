// X25519 (RFC 7748) for handshakes.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/rng.h"
#include "crypto/secret.h"

namespace cipe {

inline constexpr size_t kX25519Size = 32;
using PublicKeyBytes = std::array<uint8_t, kX25519Size>;

// 32 octets from `rng`, clamped as RFC 7748 section 5 says, so that one key has one spelling.
Secret<kX25519Size> GeneratePrivateKey(Rng& rng);

// The public key of `private_key` (which need not be clamped). Internal error when OpenSSL fails.
absl::StatusOr<PublicKeyBytes> PublicKey(const Secret<kX25519Size>& private_key);

// The shared secret of RFC 7748 section 6.1. False when it would be all zero, which a low-order
// public key forces whatever the private key; *out is all zero then and must not be used.
// Every one of the 2^256 inputs is accepted, non-canonical ones included.
[[nodiscard]] bool X25519(const Secret<kX25519Size>& private_key,
                          std::span<const uint8_t, kX25519Size> public_key,
                          Secret<kX25519Size>* out);

}  // namespace cipe
