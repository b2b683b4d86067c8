#include "config/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace cipe::config {
namespace {

absl::Status FileError(const std::string& path, int error) {
  const std::string message = absl::StrCat(path, ": ", strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InvalidArgumentError(message);
}

absl::Status ReadAll(const std::string& path, int fd, SecretText* text) {
  size_t have = 0;
  while (have < text->size()) {
    const ssize_t n = read(fd, text->UnsafeMutableData() + have, text->size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(path, errno);
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  text->Truncate(have);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FileText> ReadFile(const std::string& path, size_t max_size) {
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return FileError(path, errno);
  FileText file;
  if (fstat(fd.get(), &file.info) != 0) return FileError(path, errno);
  if (!S_ISREG(file.info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  }
  const size_t size = static_cast<size_t>(file.info.st_size);
  const auto too_big = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": larger than ", max_size, " octets, the most that is read"));
  };
  if (size > max_size) return too_big();
  // One octet more than the file has: seen full, it has grown meanwhile.
  file.text = SecretText(size + 1);
  CIPE_RETURN_IF_ERROR(ReadAll(path, fd.get(), &file.text));
  if (file.text.size() > size) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": changed while it was read (or its size is not known in advance)"));
  }
  return file;
}

absl::Status CheckOwner(const std::string& path, const struct stat& info) {
  if (info.st_uid == 0 || info.st_uid == geteuid()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(path, ": belongs to user ", info.st_uid,
                                                  ", expected root or user ", geteuid(),
                                                  "; mend it with 'chown root ", path, "'"));
}

absl::Status CheckSecretMode(const std::string& path, const struct stat& info) {
  if ((info.st_mode & 077) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s: holds a secret and is open to group or others (mode %04o); mend it with 'chmod 600 %s'",
      path, info.st_mode & 07777u, path));
}

absl::Status CheckNotWritable(const std::string& path, const struct stat& info) {
  if ((info.st_mode & 022) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s: may be written by group or others (mode %04o); mend it with 'chmod go-w %s'", path,
      info.st_mode & 07777u, path));
}

absl::StatusOr<SecretText> ReadKeyFile(const std::string& path) {
  CIPE_ASSIGN_OR_RETURN(FileText file, ReadFile(path, kMaxKeyFileSize));
  CIPE_RETURN_IF_ERROR(CheckOwner(path, file.info));
  CIPE_RETURN_IF_ERROR(CheckSecretMode(path, file.info));
  return SecretText::Copy(absl::StripAsciiWhitespace(file.text.UnsafeView()));
}

std::string ResolveKeyPath(absl::string_view config_path, absl::string_view path) {
  if (absl::StartsWith(path, "/")) return std::string(path);
  const size_t slash = config_path.rfind('/');
  if (slash == absl::string_view::npos) return std::string(path);
  return absl::StrCat(config_path.substr(0, slash + 1), path);
}

}  // namespace cipe::config
