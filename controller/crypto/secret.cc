#include "crypto/secret.h"

#include <openssl/crypto.h>

#include <cstdio>
#include <cstdlib>

namespace cipe {

void WipeMemory(void* p, size_t size) {
  if (size != 0) OPENSSL_cleanse(p, size);
}

bool ConstantTimeEqual(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b) {
  if (a.size() != b.size()) return false;
  return a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

namespace internal {

void SecretSizeMismatch(size_t want, size_t got) {
  std::fprintf(stderr, "Secret of %zu octets made from %zu\n", want, got);
  std::abort();
}

}  // namespace internal
}  // namespace cipe
