// Hashes, HMAC and HKDF of the two suites, and keyed BLAKE2s. For handshakes, not per packet.
//
// None of these can fail on input of the documented sizes. A wrong size, or OpenSSL refusing an
// algorithm it promised, ends the process: going on with an unknown key would be worse.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "absl/types/span.h"
#include "crypto/secret.h"
#include "crypto/suite.h"

namespace cipe {

using ByteSpan = absl::Span<const uint8_t>;

namespace internal {
std::array<uint8_t, kHashSize> HashParts(Suite suite, absl::Span<const ByteSpan> parts);
Secret<kHashSize> HmacParts(Suite suite, ByteSpan key, absl::Span<const ByteSpan> parts);
}  // namespace internal

// SHA-256 (FIPS 180-4) or BLAKE2s-256 (RFC 7693) of the concatenation of `data`.
template <typename... Spans>
std::array<uint8_t, kHashSize> Hash(Suite suite, const Spans&... data) {
  return internal::HashParts(suite, std::initializer_list<ByteSpan>{ByteSpan(data)...});
}

// RFC 2104 with the suite's hash, over the concatenation of `data`. Keys of any size. A secret,
// because in this project its outputs are mostly keys.
template <typename... Spans>
Secret<kHashSize> HMAC(Suite suite, ByteSpan key, const Spans&... data) {
  return internal::HmacParts(suite, key, std::initializer_list<ByteSpan>{ByteSpan(data)...});
}

// HKDF(chaining_key, input_key_material, 2 or 3) of the Noise specification, section 4.3.
// `ikm` is empty or a secret; `auto [ck, k] = Hkdf2(suite, ck, dh.UnsafeBytes())`.
std::array<Secret<kHashSize>, 2> Hkdf2(Suite suite, const Secret<kHashSize>& ck, ByteSpan ikm);
std::array<Secret<kHashSize>, 3> Hkdf3(Suite suite, const Secret<kHashSize>& ck, ByteSpan ikm);

// RFC 5869 sections 2.2 and 2.3 with the suite's hash. `out` has 1 to 255 * 32 octets.
Secret<kHashSize> HkdfExtract(Suite suite, ByteSpan salt, ByteSpan ikm);
void HkdfExpand(Suite suite, const Secret<kHashSize>& key, ByteSpan info, absl::Span<uint8_t> out);
Secret<kHashSize> HkdfExpand(Suite suite, const Secret<kHashSize>& key, ByteSpan info);

// BLAKE2s in its own keyed mode (RFC 7693 section 2.9), over the concatenation of `data`.
// `key` has 1 to 32 octets, `out` 1 to 32; the size of `out` is part of the hash's parameters, so a
// short result is not a prefix of a long one.
void KeyedBlake2s(ByteSpan key, std::initializer_list<ByteSpan> data, absl::Span<uint8_t> out);
inline void KeyedBlake2s(ByteSpan key, ByteSpan data, absl::Span<uint8_t> out) {
  KeyedBlake2s(key, {data}, out);
}

}  // namespace cipe
