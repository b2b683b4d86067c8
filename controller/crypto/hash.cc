#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>

#include "crypto/openssl_util.h"

namespace cipe {
namespace {

using internal::MacCtxPtr;
using internal::MacPtr;
using internal::MdCtxPtr;
using internal::Require;

const char* DigestName(Suite suite) {
  return suite == Suite::kAesGcmSha256 ? "SHA256" : "BLAKE2S-256";
}

// Fetched once and never freed: fetching takes a lock and a search through the providers.
const EVP_MD* Digest(Suite suite) {
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  static const EVP_MD* const blake2s = EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr);
  const EVP_MD* md = suite == Suite::kAesGcmSha256 ? sha256 : blake2s;
  Require(md != nullptr, DigestName(suite));
  return md;
}

EVP_MAC* HmacAlgorithm() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  Require(mac != nullptr, "HMAC");
  return mac;
}

EVP_MAC* KeyedBlake2sAlgorithm() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr);
  Require(mac != nullptr, "BLAKE2SMAC");
  return mac;
}

// Runs `algorithm` over `parts`; `out` gets exactly out.size() octets.
void RunMac(EVP_MAC* algorithm, ByteSpan key, const OSSL_PARAM* params,
            absl::Span<const ByteSpan> parts, absl::Span<uint8_t> out) {
  const MacCtxPtr ctx(EVP_MAC_CTX_new(algorithm));
  Require(ctx != nullptr, "EVP_MAC_CTX_new");
  // A null key means "none given" to OpenSSL even with size 0.
  static const uint8_t kEmpty = 0;
  const uint8_t* key_data = key.empty() ? &kEmpty : key.data();
  Require(EVP_MAC_init(ctx.get(), key_data, key.size(), params) == 1, "EVP_MAC_init");
  for (ByteSpan part : parts) {
    Require(EVP_MAC_update(ctx.get(), part.data(), part.size()) == 1, "EVP_MAC_update");
  }
  size_t size = 0;
  Require(EVP_MAC_final(ctx.get(), out.data(), &size, out.size()) == 1, "EVP_MAC_final");
  Require(size == out.size(), "size of a MAC");
}

// Output i of HKDF-Expand: HMAC(key, previous || info || i).
Secret<kHashSize> ExpandStep(Suite suite, const Secret<kHashSize>& key, ByteSpan previous,
                             ByteSpan info, uint8_t i) {
  return HMAC(suite, key.UnsafeBytes(), previous, info, ByteSpan(&i, 1));
}

}  // namespace

namespace internal {

std::array<uint8_t, kHashSize> HashParts(Suite suite, absl::Span<const ByteSpan> parts) {
  const MdCtxPtr ctx(EVP_MD_CTX_new());
  Require(ctx != nullptr, "EVP_MD_CTX_new");
  Require(EVP_DigestInit_ex(ctx.get(), Digest(suite), nullptr) == 1, "EVP_DigestInit_ex");
  for (ByteSpan part : parts) {
    Require(EVP_DigestUpdate(ctx.get(), part.data(), part.size()) == 1, "EVP_DigestUpdate");
  }
  std::array<uint8_t, kHashSize> out;
  unsigned size = 0;
  Require(EVP_DigestFinal_ex(ctx.get(), out.data(), &size) == 1, "EVP_DigestFinal_ex");
  Require(size == out.size(), "size of a hash");
  return out;
}

Secret<kHashSize> HmacParts(Suite suite, ByteSpan key, absl::Span<const ByteSpan> parts) {
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(
                                   OSSL_MAC_PARAM_DIGEST, const_cast<char*>(DigestName(suite)), 0),
                               OSSL_PARAM_construct_end()};
  Secret<kHashSize> out;
  RunMac(HmacAlgorithm(), key, params, parts, out.UnsafeMutableBytes());
  return out;
}

}  // namespace internal

std::array<Secret<kHashSize>, 3> Hkdf3(Suite suite, const Secret<kHashSize>& ck, ByteSpan ikm) {
  const Secret<kHashSize> temp_key = HMAC(suite, ck.UnsafeBytes(), ikm);
  Secret<kHashSize> output1 = ExpandStep(suite, temp_key, {}, {}, 1);
  Secret<kHashSize> output2 = ExpandStep(suite, temp_key, output1.UnsafeBytes(), {}, 2);
  Secret<kHashSize> output3 = ExpandStep(suite, temp_key, output2.UnsafeBytes(), {}, 3);
  return {std::move(output1), std::move(output2), std::move(output3)};
}

std::array<Secret<kHashSize>, 2> Hkdf2(Suite suite, const Secret<kHashSize>& ck, ByteSpan ikm) {
  const Secret<kHashSize> temp_key = HMAC(suite, ck.UnsafeBytes(), ikm);
  Secret<kHashSize> output1 = ExpandStep(suite, temp_key, {}, {}, 1);
  Secret<kHashSize> output2 = ExpandStep(suite, temp_key, output1.UnsafeBytes(), {}, 2);
  return {std::move(output1), std::move(output2)};
}

Secret<kHashSize> HkdfExtract(Suite suite, ByteSpan salt, ByteSpan ikm) {
  return HMAC(suite, salt, ikm);
}

void HkdfExpand(Suite suite, const Secret<kHashSize>& key, ByteSpan info, absl::Span<uint8_t> out) {
  Require(!out.empty() && out.size() <= 255 * kHashSize, "HkdfExpand: size of the output");
  Secret<kHashSize> block;
  for (uint8_t i = 1; !out.empty(); ++i) {
    block = ExpandStep(suite, key, i == 1 ? ByteSpan() : block.UnsafeBytes(), info, i);
    const size_t n = std::min(out.size(), kHashSize);
    std::copy_n(block.UnsafeBytes().begin(), n, out.begin());
    out.remove_prefix(n);
  }
}

Secret<kHashSize> HkdfExpand(Suite suite, const Secret<kHashSize>& key, ByteSpan info) {
  return ExpandStep(suite, key, {}, info, 1);
}

void KeyedBlake2s(ByteSpan key, std::initializer_list<ByteSpan> data, absl::Span<uint8_t> out) {
  Require(!key.empty() && key.size() <= 32, "KeyedBlake2s: size of the key");
  Require(!out.empty() && out.size() <= 32, "KeyedBlake2s: size of the output");
  size_t size = out.size();
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                               OSSL_PARAM_construct_end()};
  RunMac(KeyedBlake2sAlgorithm(), key, params, data, out);
}

}  // namespace cipe
