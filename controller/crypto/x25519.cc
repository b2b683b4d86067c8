#include "crypto/x25519.h"

#include "crypto/openssl_util.h"

namespace cipe {
namespace {

using internal::PkeyCtxPtr;
using internal::PkeyPtr;
using internal::Require;

PkeyPtr LoadPrivate(const Secret<kX25519Size>& key) {
  return PkeyPtr(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, key.UnsafeBytes().data(),
                                              kX25519Size));
}

// False when OpenSSL refuses the result, which it does for an all-zero one.
bool Derive(EVP_PKEY* own, EVP_PKEY* peer, absl::Span<uint8_t> out) {
  const PkeyCtxPtr ctx(EVP_PKEY_CTX_new(own, nullptr));
  Require(ctx != nullptr && EVP_PKEY_derive_init(ctx.get()) == 1, "EVP_PKEY_derive_init");
  Require(EVP_PKEY_derive_set_peer(ctx.get(), peer) == 1, "EVP_PKEY_derive_set_peer");
  size_t size = out.size();
  return EVP_PKEY_derive(ctx.get(), out.data(), &size) == 1 && size == out.size();
}

}  // namespace

Secret<kX25519Size> GeneratePrivateKey(Rng& rng) {
  Secret<kX25519Size> key;
  const absl::Span<uint8_t> octets = key.UnsafeMutableBytes();
  rng.Fill(octets);
  octets[0] &= 0xf8;
  octets[31] = static_cast<uint8_t>((octets[31] & 0x7f) | 0x40);
  return key;
}

absl::StatusOr<PublicKeyBytes> PublicKey(const Secret<kX25519Size>& private_key) {
  const PkeyPtr pkey = LoadPrivate(private_key);
  PublicKeyBytes out;
  size_t size = out.size();
  if (pkey == nullptr || EVP_PKEY_get_raw_public_key(pkey.get(), out.data(), &size) != 1) {
    ERR_clear_error();
    return absl::InternalError(
        "X25519: OpenSSL gave no public key; check that its default provider is active");
  }
  return out;
}

bool X25519(const Secret<kX25519Size>& private_key,
            std::span<const uint8_t, kX25519Size> public_key, Secret<kX25519Size>* out) {
  const PkeyPtr own = LoadPrivate(private_key);
  const PkeyPtr peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, public_key.data(), public_key.size()));
  Require(own != nullptr && peer != nullptr, "loading X25519 keys");
  const bool derived = Derive(own.get(), peer.get(), out->UnsafeMutableBytes());
  // Not left to OpenSSL alone: RFC 7748 section 6.1 makes the check optional.
  const bool usable = derived && !(*out == Secret<kX25519Size>());
  if (!usable) {
    out->Wipe();
    ERR_clear_error();  // a stranger's key must not fill the error queue
  }
  return usable;
}

}  // namespace cipe
