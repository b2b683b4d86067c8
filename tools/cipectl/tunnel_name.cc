#include "tools/cipectl/tunnel_name.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "cipe/control/schema.h"
#include "control/request.h"

namespace cipe::cipectl {

absl::StatusOr<std::string> TunnelNameOf(const std::string& argument,
                                         const std::string& config_dir) {
  std::string name = argument;
  if (argument.find('/') != std::string::npos) {
    const std::filesystem::path path(argument);
    std::error_code error;
    const bool ours = std::filesystem::weakly_canonical(path.parent_path(), error) ==
                      std::filesystem::weakly_canonical(config_dir, error);
    if (error || !ours) {
      return absl::InvalidArgumentError(
          absl::StrCat(argument, " is not in ", config_dir,
                       ": move it there, or name its directory with --config-dir"));
    }
    if (path.extension() != ".conf") {
      return absl::InvalidArgumentError(
          absl::StrCat(argument, " is no tunnel file: expected ", config_dir, "/NAME.conf"));
    }
    name = path.stem();
  }
  if (!control::IsTunnelName(name)) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' is no tunnel name: 1 to ",
                                                   control::kMaxTunnelName,
                                                   " of A-Z a-z 0-9 _ = + . -"));
  }
  return name;
}

}  // namespace cipe::cipectl
