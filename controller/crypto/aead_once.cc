// AEAD of handshake messages and cookies: any associated data, no state kept.
#include "crypto/aead.h"

#include <cstring>

#include "crypto/openssl_util.h"

namespace cipe {
namespace {

using internal::CipherCtxPtr;
using internal::Require;

const EVP_CIPHER* CipherOf(Suite suite) {
  return suite == Suite::kAesGcmSha256 ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
}

// A context that has taken key, nonce, associated data and text.
CipherCtxPtr Run(Suite suite, bool encrypt, const Secret<kAeadKeySize>& key, const uint8_t* nonce,
                 absl::Span<const uint8_t> aad, absl::Span<const uint8_t> in, uint8_t* out) {
  CipherCtxPtr ctx(EVP_CIPHER_CTX_new());
  Require(ctx != nullptr && EVP_CipherInit_ex(ctx.get(), CipherOf(suite), nullptr,
                                              key.UnsafeBytes().data(), nonce, encrypt) == 1,
          "handshake AEAD set-up");
  int n = 0;
  if (!aad.empty()) {
    Require(EVP_CipherUpdate(ctx.get(), nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1,
            "handshake AEAD associated data");
  }
  if (!in.empty()) {
    Require(EVP_CipherUpdate(ctx.get(), out, &n, in.data(), static_cast<int>(in.size())) == 1,
            "handshake AEAD text");
  }
  return ctx;
}

}  // namespace

void SealOnce(Suite suite, const Secret<kAeadKeySize>& key,
              std::span<const uint8_t, kAeadNonceSize> nonce, absl::Span<const uint8_t> aad,
              absl::Span<const uint8_t> plaintext, uint8_t* out) {
  const CipherCtxPtr ctx = Run(suite, true, key, nonce.data(), aad, plaintext, out);
  uint8_t* tag = out + plaintext.size();
  int n = 0;
  Require(EVP_CipherFinal_ex(ctx.get(), tag, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagSize, tag) == 1,
          "handshake AEAD tag");
}

bool OpenOnce(Suite suite, const Secret<kAeadKeySize>& key,
              std::span<const uint8_t, kAeadNonceSize> nonce, absl::Span<const uint8_t> aad,
              absl::Span<const uint8_t> ciphertext_and_tag, uint8_t* out) {
  if (ciphertext_and_tag.size() < kAeadTagSize) return false;
  const size_t size = ciphertext_and_tag.size() - kAeadTagSize;
  uint8_t tag[kAeadTagSize];
  std::memcpy(tag, ciphertext_and_tag.data() + size, sizeof tag);
  const CipherCtxPtr ctx =
      Run(suite, false, key, nonce.data(), aad, ciphertext_and_tag.first(size), out);
  uint8_t rest[kAeadTagSize];
  int n = 0;
  const bool ok = EVP_CIPHER_CTX_ctrl(ctx.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagSize, tag) == 1 &&
                  EVP_CipherFinal_ex(ctx.get(), rest, &n) == 1;
  if (!ok) {
    WipeMemory(out, size);
    ERR_clear_error();
  }
  return ok;
}

}  // namespace cipe
