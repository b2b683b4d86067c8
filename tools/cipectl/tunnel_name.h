// What people write for a tunnel: its name, or the path of its file.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace cipe::cipectl {

// "site-a", or "DIR/site-a.conf" where DIR is `config_dir` (ciped reads no other). InvalidArgument
// says what was expected.
absl::StatusOr<std::string> TunnelNameOf(const std::string& argument,
                                         const std::string& config_dir);

}  // namespace cipe::cipectl
