// The block ciphers of protocol 3 in CBC mode, with the word orders that genuine peers use, over
// libgcrypt. Keys are expanded when a Cipher is made (150 microseconds for Blowfish), never per
// packet. A Cipher holds the state of one operation at a time: callers lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "crypto/secret.h"

namespace cipe::classic {

inline constexpr size_t kKeySize = 16;  // octets
inline constexpr size_t kBlockSize = 8;
using Key = Secret<kKeySize>;

enum class Algorithm : uint8_t {
  kBlowfish,       // key as usual, data halves little-endian: not OpenSSL's bf-cbc
  kIdea,           // key and data as little-endian 16-bit words, as 1999 did on x86
  kIdeaBigEndian,  // the published order
};

// An initialisation vector of 8 octets, then whole blocks; `size` counts both, a multiple of 8 and
// at least 16.
struct CbcPacket {
  uint8_t* data = nullptr;
  uint32_t size = 0;
};

enum class Use : uint8_t { kEncrypt, kDecrypt };

class Cipher {
 public:
  // Fails when libgcrypt lacks the algorithm (FIPS mode) or refuses the key.
  static absl::StatusOr<Cipher> Create(Algorithm algorithm, const Key& key, Use use) {
    return Create(algorithm, key.UnsafeBytes(), use);
  }
  // The same for keys of other sizes, as published vectors of Blowfish have them (1 to 56 octets).
  static absl::StatusOr<Cipher> Create(Algorithm algorithm, absl::Span<const uint8_t> key, Use use);
  Cipher(Cipher&&) noexcept;
  Cipher& operator=(Cipher&&) noexcept;
  ~Cipher();

  // In place, the vectors untouched. Many packets in one call are worth it: Blowfish encrypts them
  // side by side, about three times as fast as one after the other, and both decrypt joined.
  // Only for what the Cipher was made for.
  void Encrypt(absl::Span<const CbcPacket> packets);
  void Decrypt(absl::Span<const CbcPacket> packets);

 private:
  struct State;
  explicit Cipher(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cipe::classic
