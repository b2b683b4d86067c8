// Random octets for every packet: initialisation vectors, padding, filler. A ChaCha20 keystream
// under keys from getrandom(2), without a system call per packet; the generator's key is replaced
// by its own output at each refill, so that a later look at memory does not give away earlier
// octets. Not for keys.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/rng.h"
#include "crypto/secret.h"

namespace cipe {

// One thread at a time.
class StreamRng final : public Rng {
 public:
  StreamRng();
  ~StreamRng() override;
  void Fill(absl::Span<uint8_t> out) override;

 private:
  struct Context;
  void Refill();

  std::unique_ptr<Context> context_;
  Secret<32> key_;
  std::array<uint8_t, 4096> buffer_{};
  size_t used_;
  uint32_t refills_ = 0;
};

}  // namespace cipe
