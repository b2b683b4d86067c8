// What a packet AEAD backend provides. Only for files of this folder.
#pragma once

#include "crypto/aead.h"

namespace cipe::internal {

// One row per backend and suite. The functions work on a whole batch, so the pointers are followed
// once per batch and the loop over packets is compiled for its cipher.
struct AeadOps {
  // The key schedule, or null when the backend refuses; freed and wiped by `destroy`.
  void* (*create)(const Secret<kAeadKeySize>& key);
  void (*destroy)(void* state);
  void (*seal)(void* state, absl::Span<const SealJob> jobs);
  void (*open)(void* state, absl::Span<OpenJob> jobs);
};

bool IpsecMbAvailable();
const AeadOps& IpsecMbOps(Suite suite);
const AeadOps& OpenSslOps(Suite suite);

}  // namespace cipe::internal
