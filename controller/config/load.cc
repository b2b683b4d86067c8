// Tunnels as files in the config directory.
#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "config/classic_parser.h"
#include "config/config.h"
#include "config/file.h"
#include "config/options.h"
#include "config/parser.h"

namespace cipe::config {

absl::Status CheckTunnelName(absl::string_view name) {
  const absl::Status status = CheckInterfaceName(name);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("tunnel name: ", status.message()));
}

absl::StatusOr<Tunnel> LoadTunnel(const std::string& config_dir, absl::string_view name) {
  CIPE_RETURN_IF_ERROR(CheckTunnelName(name));
  const std::string path = absl::StrCat(config_dir, "/", name, ".conf");
  CIPE_ASSIGN_OR_RETURN(const FileText file, ReadFile(path, kMaxConfigFileSize));
  CIPE_RETURN_IF_ERROR(CheckOwner(path, file.info));
  CIPE_RETURN_IF_ERROR(CheckNotWritable(path, file.info));
  // Options of protocol 3 stay root's own whatever is in them, as they always had to.
  if (HasInlineSecrets(file.text.UnsafeView()) || LooksClassic(file.text.UnsafeView())) {
    CIPE_RETURN_IF_ERROR(CheckSecretMode(path, file.info));
  }
  return ParseTunnel(name, path, file.text.UnsafeView(), ReadKeyFile);
}

absl::StatusOr<std::vector<std::string>> ListTunnels(const std::string& config_dir) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(config_dir.c_str()), closedir);
  if (!dir) {
    const std::string message = absl::StrCat(config_dir, ": ", strerror(errno));
    if (errno == ENOENT) return absl::NotFoundError(message);
    return absl::PermissionDeniedError(message);
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    absl::string_view name = entry->d_name;
    if (absl::ConsumeSuffix(&name, ".conf") && CheckTunnelName(name).ok()) names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cipe::config
