// The one form of error messages about a tunnel file, and showing what was found without showing
// keys.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "config/lexer.h"

namespace cipe::config {

// InvalidArgument "FILE:LINE:COLUMN: message".
absl::Status ErrorAt(absl::string_view path, Place place, absl::string_view message);

// 'text' in quotes, escaped and cut to 60 octets. Never for the value of a key option.
std::string Quoted(absl::string_view text);

// For text where an option name should stand but a key may have slipped in (a wrapped line, no
// '='): the first word in quotes when it looks like a name, else only its length.
std::string QuotedWord(absl::string_view text);

}  // namespace cipe::config
