// Keys as text: base64 (RFC 4648 section 4, padded, canonical) and hex. Coders take time that
// depends on lengths only, never on the octets, and no error message repeats what it read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "config/secret_text.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"

namespace cipe::config {

inline constexpr size_t kKeyBase64Size = 44;  // 32 octets

// Padded base64 length of `octets` octets.
constexpr size_t Base64Size(size_t octets) { return (octets + 2) / 3 * 4; }

// True when `text` is exactly the canonical encoding of out.size() octets (non-zero spare bits are
// refused: a key has one spelling). On false `out` is zero.
bool DecodeBase64(absl::string_view text, absl::Span<uint8_t> out);
// The same for hex digits of either case: 2 * out.size() characters.
bool DecodeHex(absl::string_view text, absl::Span<uint8_t> out);

// For public octets.
std::string EncodeBase64(absl::Span<const uint8_t> octets);
std::string EncodeHex(absl::Span<const uint8_t> octets);
// For secrets: the text is wiped when it goes.
SecretText EncodeSecretBase64(absl::Span<const uint8_t> octets);

// 44 base64 characters. White space around is the caller's business. InvalidArgument says what was
// expected and, of what was found, only its length; an all-zero key is refused.
absl::StatusOr<PublicKeyBytes> ParsePublicKey(absl::string_view text);
absl::StatusOr<Secret<32>> ParseSecretKey(absl::string_view text);  // private key or preshared key
// CIPE's key: 32 or 64 hex digits, or 24 or 44 base64 characters; 16 or 32 octets.
absl::StatusOr<SecretBytes> ParseSharedKey(absl::string_view text);

// As printed by cipectl genkey, genpsk and pubkey, without a newline.
SecretText FormatSecretKey(const Secret<32>& key);
std::string FormatPublicKey(const PublicKeyBytes& key);

}  // namespace cipe::config
