// The two cipher suites of protocol 5. Fixed per tunnel by configuration, never negotiated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace cipe {

// The numbers go on the wire (octet 2 of control frames).
enum class Suite : uint8_t { kAesGcmSha256 = 1, kChaChaPolyBlake2s = 2 };

// Both suites: 32-octet keys and hashes, 12-octet nonces, 16-octet tags.
inline constexpr size_t kAeadKeySize = 32;
inline constexpr size_t kAeadNonceSize = 12;
inline constexpr size_t kAeadTagSize = 16;
inline constexpr size_t kHashSize = 32;

// As in configuration files and status.
inline constexpr absl::string_view SuiteName(Suite suite) {
  return suite == Suite::kAesGcmSha256 ? "aes256gcm" : "chacha20poly1305";
}

// The part of a Noise protocol name after the pattern (Noise specification rev. 34, section 8).
inline constexpr absl::string_view NoiseSuiteName(Suite suite) {
  return suite == Suite::kAesGcmSha256 ? "25519_AESGCM_SHA256" : "25519_ChaChaPoly_BLAKE2s";
}

}  // namespace cipe
