// Packet AEAD with OpenSSL EVP: one context per direction and key, only the nonce set per packet.
#include <new>

#include "base/bytes.h"
#include "crypto/aead_backend.h"
#include "crypto/openssl_util.h"

namespace cipe::internal {
namespace {

constexpr int kEncrypt = 1;
constexpr int kDecrypt = 0;
constexpr int kKeepDirection = -1;

struct Contexts {
  CipherCtxPtr seal;  // EVP_CIPHER_CTX_free wipes the key schedule
  CipherCtxPtr open;
};

// Never freed: see Digest() in hash.cc.
const EVP_CIPHER* FetchedCipher(Suite suite) {
  static const EVP_CIPHER* const gcm = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  static const EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return suite == Suite::kAesGcmSha256 ? gcm : chacha;
}

CipherCtxPtr NewContext(const EVP_CIPHER* cipher, const Secret<kAeadKeySize>& key, int direction) {
  CipherCtxPtr ctx(EVP_CIPHER_CTX_new());
  if (ctx == nullptr || EVP_CipherInit_ex(ctx.get(), cipher, nullptr, key.UnsafeBytes().data(),
                                          nullptr, direction) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return ctx;
}

template <Suite kSuite>
void* Create(const Secret<kAeadKeySize>& key) {
  const EVP_CIPHER* cipher = FetchedCipher(kSuite);
  if (cipher == nullptr) return nullptr;
  auto contexts = std::make_unique<Contexts>();
  contexts->seal = NewContext(cipher, key, kEncrypt);
  contexts->open = NewContext(cipher, key, kDecrypt);
  if (contexts->seal == nullptr || contexts->open == nullptr) return nullptr;
  return contexts.release();
}

void Destroy(void* state) { delete static_cast<Contexts*>(state); }

// Nonce, associated data and text of one packet. False only when OpenSSL breaks.
template <Suite kSuite>
bool Feed(EVP_CIPHER_CTX* ctx, uint64_t counter, const uint8_t* aad, const uint8_t* in,
          uint8_t* out, uint32_t size) {
  uint8_t nonce[kAeadNonceSize] = {};
  if constexpr (kSuite == Suite::kAesGcmSha256) {
    StoreBe64(nonce + 4, counter);
  } else {
    StoreLe64(nonce + 4, counter);
  }
  int n = 0;
  if (EVP_CipherInit_ex(ctx, nullptr, nullptr, nullptr, nonce, kKeepDirection) != 1) return false;
  if (EVP_CipherUpdate(ctx, nullptr, &n, aad, kDataAadSize) != 1) return false;
  return size == 0 || EVP_CipherUpdate(ctx, out, &n, in, static_cast<int>(size)) == 1;
}

template <Suite kSuite>
void SealOne(EVP_CIPHER_CTX* ctx, const SealJob& job) {
  uint8_t* tag = job.out + job.size;
  int n = 0;
  const bool ok = Feed<kSuite>(ctx, job.counter, job.aad, job.in, job.out, job.size) &&
                  EVP_CipherFinal_ex(ctx, tag, &n) == 1 &&
                  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, kAeadTagSize, tag) == 1;
  // The only other way on would be to send something that is not sealed.
  Require(ok, "sealing a data frame");
}

template <Suite kSuite>
bool OpenOne(EVP_CIPHER_CTX* ctx, const OpenJob& job) {
  uint8_t* tag = job.data + job.size;
  uint8_t rest[kAeadTagSize];
  int n = 0;
  return Feed<kSuite>(ctx, job.counter, job.aad, job.data, job.data, job.size) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, kAeadTagSize, tag) == 1 &&
         EVP_CipherFinal_ex(ctx, rest, &n) == 1;
}

template <Suite kSuite>
void Seal(void* state, absl::Span<const SealJob> jobs) {
  EVP_CIPHER_CTX* ctx = static_cast<Contexts*>(state)->seal.get();
  for (const SealJob& job : jobs) SealOne<kSuite>(ctx, job);
}

template <Suite kSuite>
void Open(void* state, absl::Span<OpenJob> jobs) {
  EVP_CIPHER_CTX* ctx = static_cast<Contexts*>(state)->open.get();
  bool failed = false;
  for (OpenJob& job : jobs) {
    job.ok = OpenOne<kSuite>(ctx, job);
    if (job.ok) continue;
    WipeMemory(job.data, job.size);
    failed = true;
  }
  if (failed) ERR_clear_error();
}

template <Suite kSuite>
constexpr AeadOps kOps = {Create<kSuite>, Destroy, Seal<kSuite>, Open<kSuite>};

}  // namespace

const AeadOps& OpenSslOps(Suite suite) {
  return suite == Suite::kAesGcmSha256 ? kOps<Suite::kAesGcmSha256>
                                       : kOps<Suite::kChaChaPolyBlake2s>;
}

}  // namespace cipe::internal
