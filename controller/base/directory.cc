#include "base/directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace cipe {
namespace {

absl::Status CheckOwner(const std::string& path, const struct stat& st) {
  if (st.st_uid != 0 && st.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat("directory ", path, " belongs to user ",
                                                    st.st_uid, ", not to root or to user ",
                                                    geteuid(), "; chown it, or name another"));
  }
  if ((st.st_mode & 022) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        "directory ", path, " can be written by others; `chmod go-w ", path, "`, or name another"));
  }
  return absl::OkStatus();
}

// Our starter's umask may be anything: `umask 077` is what key files are made with.
bool MakeOne(const std::string& path, unsigned mode) {
  return mkdir(path.c_str(), mode & 0700) == 0 && chmod(path.c_str(), mode) == 0;
}

absl::Status Failed(const std::string& path) {
  const std::string text = absl::StrCat("cannot make directory ", path, ": ", strerror(errno));
  if (errno == EACCES || errno == EPERM || errno == EROFS) return absl::PermissionDeniedError(text);
  return absl::InternalError(text);
}

}  // namespace

absl::Status MakeDirectory(const std::string& path, unsigned mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    MakeOne(path.substr(0, slash), 0755);
  }
  if (MakeOne(path, mode)) return absl::OkStatus();
  if (errno != EEXIST) return Failed(path);
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) return Failed(path);
  if (!S_ISDIR(st.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is there and is not a directory; remove it, or name another directory"));
  }
  return CheckOwner(path, st);
}

}  // namespace cipe
