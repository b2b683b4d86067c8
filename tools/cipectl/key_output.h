// Printing a fresh secret on standard output, and nowhere else.
#pragma once

#include "crypto/secret.h"

namespace cipe::cipectl {

// One line of base64, or {"FIELD": "<base64>"} with `json`. Warns on standard error when standard
// output is a file that others can read. Returns the exit code.
int PrintSecret(const Secret<32>& key, const char* field, bool json);

}  // namespace cipe::cipectl
