// Option names, sections, and which value goes where.
#pragma once

#include "absl/strings/string_view.h"

namespace cipe::config {

// True when `text` writes a key itself, rather than a file's name, into some option. Looks at names
// only, so it holds for files with errors too.
bool HasInlineSecrets(absl::string_view text);

}  // namespace cipe::config
