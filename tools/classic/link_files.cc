#include "tools/classic/link_files.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/directory.h"
#include "base/status_macros.h"
#include "config/classic_parser.h"

namespace cipe::classic_start {
namespace {

constexpr int kMaxDevices = 1000;
constexpr int kLockAttempts = 600;  // a tenth of a second each

absl::Status Failed(absl::string_view what, const std::string& path) {
  const std::string text = absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno));
  if (errno == EACCES || errno == EPERM) return absl::PermissionDeniedError(text + "; try as root");
  return absl::InternalError(text);
}

absl::Status WriteAll(int fd, absl::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed("write", path);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LinkFiles> LinkFiles::Lock(const std::string& runtime_dir) {
  std::error_code error;
  const std::string dir =
      std::filesystem::absolute(runtime_dir, error).lexically_normal() / "links";
  CIPE_RETURN_IF_ERROR(MakeDirectory(std::filesystem::path(dir).parent_path(), 0755));
  CIPE_RETURN_IF_ERROR(MakeDirectory(dir, 0700));
  const std::string path = dir + "/.lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return Failed("open", path);
  for (int i = 0; flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno != EWOULDBLOCK && errno != EINTR) return Failed("lock", path);
    if (i == kLockAttempts) {
      return absl::DeadlineExceededError(
          absl::StrCat(path, ": another ciped-cb, ciped-ci or 'cipectl up' has it for a minute"));
    }
    usleep(100'000);
  }
  return LinkFiles(dir, std::move(fd));
}

std::string LinkFiles::Path(const std::string& name, absl::string_view suffix) const {
  return absl::StrCat(dir_, "/", name, suffix);
}

absl::StatusOr<std::string> LinkFiles::FreeName(
    config::ClassicCipher cipher, const std::function<bool(const std::string&)>& taken) const {
  const char* prefix = cipher == config::ClassicCipher::kIdea ? "cipci" : "cipcb";
  for (int n = 0; n < kMaxDevices; ++n) {
    const std::string name = absl::StrCat(prefix, n);
    if (if_nametoindex(name.c_str()) == 0 && !taken(name)) return name;
  }
  return absl::ResourceExhaustedError(absl::StrCat("no free device: ", prefix, "0 to ", prefix,
                                                   kMaxDevices - 1,
                                                   " are taken; choose one with device="));
}

absl::Status LinkFiles::Write(const std::string& name,
                              const config::ClassicOptions& options) const {
  const std::string path = Path(name, ".options"), fresh = Path(name, ".new");
  unlink(fresh.c_str());
  const UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return Failed("make", fresh);
  const config::SecretText text = config::WriteClassicOptions(options);
  CIPE_RETURN_IF_ERROR(WriteAll(fd.get(), text.UnsafeView(), fresh));
  if (rename(fresh.c_str(), path.c_str()) != 0) return Failed("replace", path);
  return absl::OkStatus();
}

void LinkFiles::Remove(const std::string& name) const {
  for (const char* suffix : {".options", ".log"}) unlink(Path(name, suffix).c_str());
}

absl::StatusOr<UniqueFd> LinkFiles::MakeLog(const std::string& name) const {
  const std::string path = Path(name, ".log");
  unlink(path.c_str());
  if (mkfifo(path.c_str(), 0600) != 0) return Failed("make", path);
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return Failed("open", path);
  return fd;
}

}  // namespace cipe::classic_start
