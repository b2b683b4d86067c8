// cipectl genpsk: 32 random octets on standard output, for PresharedKey or SharedKey.
#include "base/rng.h"
#include "tools/cipectl/key_output.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

int GenPsk(const Options& options) {
  SystemRng rng;
  Secret<32> key;
  const absl::Span<uint8_t> octets = key.UnsafeMutableBytes();
  rng.Fill(octets);
  return PrintSecret(key, "preshared_key", options.json);
}

}  // namespace cipe::cipectl
