// Printing a fresh secret on standard output, and nowhere else.
#pragma once

#include "absl/strings/string_view.h"
#include "crypto/secret.h"

namespace cipe::cipectl {

// One line of base64, or {"FIELD": "<base64>"} with `json`. Warns on standard error when standard
// output is a file that others can read. Returns the exit code.
int PrintSecret(const Secret<32>& key, const char* field, bool json);
// The same for any text that holds secrets; a newline is added.
int PrintSecretText(absl::string_view text);

}  // namespace cipe::cipectl
