#include "config/secret_index.h"

#include "base/rng.h"
#include "crypto/hash.h"

namespace cipe::config {

SecretIndex::SecretIndex() { SystemRng().Fill(hash_key_.UnsafeMutableBytes()); }

SecretIndex::Digest SecretIndex::DigestOf(absl::Span<const uint8_t> secret) const {
  Digest digest;
  KeyedBlake2s(hash_key_.UnsafeBytes(), secret, absl::MakeSpan(digest));
  return digest;
}

std::optional<size_t> SecretIndex::Insert(absl::Span<const uint8_t> secret, size_t position) {
  const auto [it, is_new] = positions_.emplace(DigestOf(secret), position);
  return is_new ? std::nullopt : std::optional<size_t>(it->second);
}

std::optional<size_t> SecretIndex::Find(absl::Span<const uint8_t> secret) const {
  const auto it = positions_.find(DigestOf(secret));
  return it == positions_.end() ? std::nullopt : std::optional<size_t>(it->second);
}

}  // namespace cipe::config
