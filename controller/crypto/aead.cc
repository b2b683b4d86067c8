#include "crypto/aead.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "crypto/aead_backend.h"

namespace cipe {

absl::string_view BackendName(AeadBackend backend) {
  return backend == AeadBackend::kIpsecMb ? "ipsec-mb" : "openssl";
}

bool BackendAvailable(AeadBackend backend) {
  return backend == AeadBackend::kOpenSsl || internal::IpsecMbAvailable();
}

AeadBackend BestBackend() {
  return BackendAvailable(AeadBackend::kIpsecMb) ? AeadBackend::kIpsecMb : AeadBackend::kOpenSsl;
}

absl::StatusOr<AeadKey> AeadKey::Create(Suite suite, AeadBackend backend,
                                        const Secret<kAeadKeySize>& key) {
  if (!BackendAvailable(backend)) {
    return absl::UnavailableError(absl::StrCat(
        "AEAD backend ", BackendName(backend),
        ": this CPU lacks AES-NI or PCLMULQDQ, or the library's self-test failed; use ",
        BackendName(AeadBackend::kOpenSsl)));
  }
  const internal::AeadOps* ops = backend == AeadBackend::kIpsecMb ? &internal::IpsecMbOps(suite)
                                                                  : &internal::OpenSslOps(suite);
  void* state = ops->create(key);
  if (state == nullptr) {
    return absl::InternalError(absl::StrCat("AEAD backend ", BackendName(backend), " refused ",
                                            SuiteName(suite),
                                            "; check that OpenSSL's default provider is active"));
  }
  return AeadKey(ops, state);
}

AeadKey& AeadKey::operator=(AeadKey&& other) noexcept {
  if (this != &other) {
    Destroy();
    ops_ = other.ops_;
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

void AeadKey::Destroy() {
  if (state_ != nullptr) ops_->destroy(std::exchange(state_, nullptr));
}

void AeadKey::SealBatch(absl::Span<const SealJob> jobs) { ops_->seal(state_, jobs); }

void AeadKey::OpenBatch(absl::Span<OpenJob> jobs) { ops_->open(state_, jobs); }

std::array<uint8_t, kAeadNonceSize> NoiseNonce(Suite suite, uint64_t counter) {
  std::array<uint8_t, kAeadNonceSize> nonce{};
  if (suite == Suite::kAesGcmSha256) {
    StoreBe64(nonce.data() + 4, counter);
  } else {
    StoreLe64(nonce.data() + 4, counter);
  }
  return nonce;
}

}  // namespace cipe
