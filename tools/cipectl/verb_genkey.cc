// cipectl genkey: a new private key on standard output.
#include "base/rng.h"
#include "crypto/x25519.h"
#include "tools/cipectl/key_output.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

int GenKey(const Options& options) {
  SystemRng rng;
  return PrintSecret(GeneratePrivateKey(rng), "private_key", options.json);
}

}  // namespace cipe::cipectl
