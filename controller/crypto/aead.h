// Authenticated encryption: AeadKey for data frames (batches, no allocation and no virtual call per
// packet) and SealOnce/OpenOnce for handshake messages.
//
// Two backends give the same octets: intel-ipsec-mb where the CPU has what it needs, OpenSSL
// everywhere. Which one runs is chosen at start and shown in the status.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "crypto/secret.h"
#include "crypto/suite.h"

namespace cipe {

enum class AeadBackend : uint8_t { kIpsecMb, kOpenSsl };

// "ipsec-mb" or "openssl".
absl::string_view BackendName(AeadBackend backend);
// False for kIpsecMb on a CPU without AES-NI and PCLMULQDQ, or when the library's self-test failed.
bool BackendAvailable(AeadBackend backend);
// The fastest available one. Settled at the first call, the same for the life of the process.
AeadBackend BestBackend();

// The associated data of a data frame: its header.
inline constexpr size_t kDataAadSize = 16;

// One frame to seal. The ciphertext goes to `out`, the 16-octet tag to out + size. `in` equals
// `out` or does not overlap [out, out + size + 16). `size` may be 0. Never seal two frames under
// one counter: that gives the key away.
struct SealJob {
  uint64_t counter = 0;
  const uint8_t* aad = nullptr;  // kDataAadSize octets
  const uint8_t* in = nullptr;
  uint8_t* out = nullptr;
  uint32_t size = 0;
};

// One frame to open in place; the tag stands at data + size. When `ok` comes back false, the octets
// at `data` are zero: nothing unauthenticated can be used by mistake.
struct OpenJob {
  uint64_t counter = 0;
  const uint8_t* aad = nullptr;  // kDataAadSize octets
  uint8_t* data = nullptr;
  uint32_t size = 0;  // without the tag
  bool ok = false;
};

namespace internal {
struct AeadOps;
}  // namespace internal

// One direction's key of one lane, with its key schedule. Move-only; wiped on destruction. Used by
// one thread at a time: the caller locks. A moved-from key may only be destroyed or assigned to.
class AeadKey {
 public:
  // Unavailable when this machine cannot run `backend`; Internal when OpenSSL refuses the cipher.
  static absl::StatusOr<AeadKey> Create(Suite suite, AeadBackend backend,
                                        const Secret<kAeadKeySize>& key);

  AeadKey(AeadKey&& other) noexcept
      : ops_(other.ops_), state_(std::exchange(other.state_, nullptr)) {}
  AeadKey& operator=(AeadKey&& other) noexcept;
  AeadKey(const AeadKey&) = delete;
  AeadKey& operator=(const AeadKey&) = delete;
  ~AeadKey() { Destroy(); }

  void SealBatch(absl::Span<const SealJob> jobs);
  void OpenBatch(absl::Span<OpenJob> jobs);

 private:
  AeadKey(const internal::AeadOps* ops, void* state) : ops_(ops), state_(state) {}
  void Destroy();

  const internal::AeadOps* ops_;
  void* state_;  // owned; what it is, only the backend knows
};

// 32 zero bits and the counter: big-endian for AESGCM, little-endian for ChaChaPoly (Noise
// specification, section 12).
std::array<uint8_t, kAeadNonceSize> NoiseNonce(Suite suite, uint64_t counter);

// One handshake message, with OpenSSL. `out` takes plaintext.size() + 16 octets and may be the
// plaintext's own buffer. `aad` has any size.
void SealOnce(Suite suite, const Secret<kAeadKeySize>& key,
              std::span<const uint8_t, kAeadNonceSize> nonce, absl::Span<const uint8_t> aad,
              absl::Span<const uint8_t> plaintext, uint8_t* out);
// `out` takes ciphertext_and_tag.size() - 16 octets and may be the ciphertext's own buffer. False
// when the tag does not match or the input is shorter than a tag; `out` is zero then.
[[nodiscard]] bool OpenOnce(Suite suite, const Secret<kAeadKeySize>& key,
                            std::span<const uint8_t, kAeadNonceSize> nonce,
                            absl::Span<const uint8_t> aad,
                            absl::Span<const uint8_t> ciphertext_and_tag, uint8_t* out);

}  // namespace cipe
