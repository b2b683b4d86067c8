// cipectl pubkey: reads a private key on standard input, prints its public key.
#include <errno.h>
#include <unistd.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "cipe/control/schema.h"
#include "config/keys.h"
#include "control/snapshot_json.h"
#include "crypto/x25519.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

constexpr size_t kMaxInput = 256;  // a key, and some white space

// Standard input up to kMaxInput octets. A longer one comes back full, and is no key anyway.
config::SecretText ReadInput() {
  config::SecretText text(kMaxInput);
  size_t size = 0;
  while (size < kMaxInput) {
    const ssize_t n = read(STDIN_FILENO, text.UnsafeMutableData() + size, kMaxInput - size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    size += static_cast<size_t>(n);
  }
  text.Truncate(size);
  return text;
}

}  // namespace

int PubKey(const Options& options) {
  const config::SecretText text = ReadInput();
  const absl::StatusOr<Secret<32>> key =
      config::ParseSecretKey(absl::StripAsciiWhitespace(text.UnsafeView()));
  if (!key.ok()) {
    Complain(key.status());
    return control::kExitFailed;
  }
  const auto public_key = PublicKey(*key);
  if (!public_key.ok()) return Complain(public_key.status());
  const std::string text_of_key = config::FormatPublicKey(*public_key);
  if (options.json) {
    std::printf("%s\n", control::Dump(control::Json{{"public_key", text_of_key}}, 2).c_str());
  } else {
    std::printf("%s\n", text_of_key.c_str());
  }
  return control::kExitDone;
}

}  // namespace cipe::cipectl
