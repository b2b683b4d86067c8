// The configuration of protocol 5 for a link of protocol 3: what each end puts into its tunnel
// file.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/rng.h"
#include "config/classic.h"
#include "config/secret_text.h"

namespace cipe::cipectl {

struct Converted {
  config::SecretText here;   // of the end whose options were given
  config::SecretText there;  // of the other end
};

// With `keys`, both ends get new key pairs; else the key stays, as SharedKey. Without one (nokey) a
// new shared key is made. `name` is the tunnel's, for the comments. FailedPrecondition when ptpaddr
// is to be learned: protocol 5 has to know it.
absl::StatusOr<Converted> Convert(const config::ClassicOptions& options, const std::string& name,
                                  bool keys, Rng& rng);

}  // namespace cipe::cipectl
