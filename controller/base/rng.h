// Random octets. Secrets come from getrandom(2); tests pass a generator of their own.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace cipe {

class Rng {
 public:
  virtual ~Rng() = default;
  virtual void Fill(absl::Span<uint8_t> out) = 0;

  uint32_t U32();
  uint64_t U64();
};

// getrandom(2). Ends the process when the kernel has no randomness to give: there is no safe way
// on.
class SystemRng final : public Rng {
 public:
  void Fill(absl::Span<uint8_t> out) override;
};

}  // namespace cipe
