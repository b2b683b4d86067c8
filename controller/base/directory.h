// Directories that a daemon keeps its files in.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace cipe {

// mkdir -p, the last part with `mode` whatever the umask. Errors name the directory and what is
// wrong with one that is there: PermissionDenied when it belongs to somebody but us and root, or
// others may write in it (who can replace our files could make us forget, or speak for us).
absl::Status MakeDirectory(const std::string& path, unsigned mode);

}  // namespace cipe
