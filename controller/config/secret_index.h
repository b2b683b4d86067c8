// Finds equal secrets among many without comparing every pair: positions by a hash of the secret,
// under a key that is drawn anew for each index. Where an entry lands, and so how long a look-up
// takes, says nothing about the secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "crypto/secret.h"

namespace cipe::config {

class SecretIndex {
 public:
  SecretIndex();

  // Nullopt when `secret` is new and stands for `position` from now on; else the position of the
  // one that is there.
  std::optional<size_t> Insert(absl::Span<const uint8_t> secret, size_t position);
  std::optional<size_t> Find(absl::Span<const uint8_t> secret) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  Digest DigestOf(absl::Span<const uint8_t> secret) const;

  Secret<32> hash_key_;
  absl::flat_hash_map<Digest, size_t> positions_;
};

}  // namespace cipe::config
