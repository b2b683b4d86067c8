// Reading config and key files without being tricked: what counts is the file that was opened, not
// its name.
#pragma once

#include <cstddef>
#include <string>

#include <sys/stat.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/secret_text.h"

namespace cipe::config {

inline constexpr size_t kMaxKeyFileSize = size_t{1} << 20;
inline constexpr size_t kMaxConfigFileSize = size_t{16} << 20;

struct FileText {
  SecretText text;
  struct stat info {};  // of the opened file, fstat(2)
};

// Reads a regular file of at most `max_size` octets. Symbolic links are followed, since what they
// lead to is what gets checked (owner, mode); devices, pipes and sockets are refused, and opening
// one does not block. NotFound, PermissionDenied, InvalidArgument name the file and the cause.
absl::StatusOr<FileText> ReadFile(const std::string& path, size_t max_size);

// PermissionDenied unless the file belongs to root or to our effective user.
absl::Status CheckOwner(const std::string& path, const struct stat& info);
// PermissionDenied when group or others may do anything with it; says how to mend it.
absl::Status CheckSecretMode(const std::string& path, const struct stat& info);
// PermissionDenied when group or others may write.
absl::Status CheckNotWritable(const std::string& path, const struct stat& info);

// A key file: owner and mode checked, surrounding white space cut off.
absl::StatusOr<SecretText> ReadKeyFile(const std::string& path);

// `path` itself when absolute, else relative to the directory of `config_path`.
std::string ResolveKeyPath(absl::string_view config_path, absl::string_view path);

}  // namespace cipe::config
