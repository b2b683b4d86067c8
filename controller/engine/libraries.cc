#include <array>
#include <cstdint>

#include "base/log.h"
#include "base/rng.h"
#include "classic/cipher.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"
#include "engine/engine_process.h"
#include "steering/maps.h"

namespace cipe::engine {

// OpenSSL reads openssl.cnf, libgcrypt /etc/gcrypt and /proc, libbpf /sys, at their first use.
void PrepareLibraries() {
  steering::PrepareLibrary();
  SystemRng rng;
  const auto key = GeneratePrivateKey(rng);
  if (const auto made = PublicKey(key); !made.ok()) {
    Log(Severity::kError, "engine: ", made.status().message());
  }
  const std::array<uint8_t, kDataAadSize> header{};
  for (const Suite suite : {Suite::kAesGcmSha256, Suite::kChaChaPolyBlake2s}) {
    Hash(suite, ByteSpan(header));
    for (const AeadBackend backend : {BestBackend(), AeadBackend::kOpenSsl}) {
      auto aead = AeadKey::Create(suite, backend, key);
      if (!aead.ok()) continue;  // a tunnel that needs it will say so
      std::array<uint8_t, 32> frame{};
      const SealJob job{0, header.data(), frame.data(), frame.data(), 16};
      aead->SealBatch({&job, 1});
    }
  }
  for (const auto algorithm : {classic::Algorithm::kBlowfish, classic::Algorithm::kIdea}) {
    const classic::Key none{};
    const auto cipher = classic::Cipher::Create(algorithm, none, classic::Use::kEncrypt);
    if (!cipher.ok()) Log(Severity::kDebug, "engine: ", cipher.status().message());
  }
}

}  // namespace cipe::engine
