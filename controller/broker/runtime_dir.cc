#include "broker/runtime_dir.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace cipe::broker {
namespace {

constexpr char kSocket[] = "/ciped.sock";
constexpr char kPidFile[] = "/ciped.pid";
constexpr auto kEnding = std::chrono::seconds(5);

absl::Status Failed(absl::string_view what, absl::string_view path) {
  const std::string text = absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno));
  if (errno == EACCES || errno == EPERM || errno == EROFS) return absl::PermissionDeniedError(text);
  return absl::InternalError(text);
}

std::string Holder(int fd) {
  char text[16] = {};
  const ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n <= 0) return "unknown";
  return std::string(absl::StripSuffix(absl::string_view(text, static_cast<size_t>(n)), "\n"));
}

// A process that was killed counts as gone while its threads, and with them its descriptors, still
// go. (One of another PID namespace does too: it is waited for in vain.)
bool Gone(const std::string& pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text;
  if (!std::getline(file, text)) return true;
  const size_t name_ends = text.rfind(')');  // proc(5): the state comes next
  return name_ends + 2 < text.size() && (text[name_ends + 2] == 'Z' || text[name_ends + 2] == 'X');
}

// 1: `fd` is the locked file that has the name now. 0: somebody else holds it. 2: it was removed
// just now. -1: errno.
int TryLock(int fd, const std::string& file) {
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK ? 0 : -1;
  struct stat ours {
  }, named{};
  if (fstat(fd, &ours) != 0) return -1;
  return stat(file.c_str(), &named) == 0 && named.st_ino == ours.st_ino &&
                 named.st_dev == ours.st_dev
             ? 1
             : 2;
}

}  // namespace

void GiveToGroup(const std::string& path, int fd) {
  const group* cipe = getgrnam("cipe");
  if (cipe == nullptr) return;
  const uid_t same = static_cast<uid_t>(-1);
  const int error =
      fd >= 0 ? fchown(fd, same, cipe->gr_gid) : chown(path.c_str(), same, cipe->gr_gid);
  if (error != 0) {
    Log(Severity::kWarning, "cannot give ", path, " to group cipe: ", strerror(errno));
  }
}

absl::StatusOr<UniqueFd> LockFile(const std::string& file, const std::string& directory,
                                  absl::string_view option, unsigned mode) {
  UniqueFd fd;
  const auto deadline = std::chrono::steady_clock::now() + kEnding;
  for (int locked = -1; locked != 1;) {
    fd.reset(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode));
    if (!fd.valid()) return Failed("open", file);
    struct stat st {};
    if (fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
      return absl::FailedPreconditionError(absl::StrCat(file, " is not a regular file; remove it"));
    }
    locked = TryLock(fd.get(), file);
    if (locked < 0) return Failed("lock", file);
    if (locked == 0 && Gone(Holder(fd.get())) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    if (locked == 0) {
      return absl::AlreadyExistsError(absl::StrCat("another ciped (process ", Holder(fd.get()),
                                                   ") already runs on ", directory,
                                                   "; stop it, or give this one another ", option));
    }
  }
  CIPE_RETURN_IF_ERROR(TakeLock(fd.get(), file));
  return fd;
}

absl::Status TakeLock(int fd, const std::string& file) {
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return Failed("write", file);
  }
  return absl::OkStatus();
}

absl::StatusOr<RuntimeDir> RuntimeDir::Lock(const std::string& path) {
  CIPE_RETURN_IF_ERROR(MakeDirectory(path, 0755));
  // One that ends has taken its socket away already: its successor waits for it.
  const auto deadline = std::chrono::steady_clock::now() + kEnding;
  for (;;) {
    absl::StatusOr<UniqueFd> fd = LockFile(path + kPidFile, path, "--runtime-dir", 0644);
    if (fd.ok()) return RuntimeDir(path, *std::move(fd));
    if (!absl::IsAlreadyExists(fd.status()) || access((path + kSocket).c_str(), F_OK) == 0 ||
        std::chrono::steady_clock::now() > deadline) {
      return fd.status();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

absl::StatusOr<RuntimeDir> RuntimeDir::Adopt(const std::string& path, UniqueFd lock) {
  CIPE_RETURN_IF_ERROR(TakeLock(lock.get(), path + kPidFile));
  return RuntimeDir(path, std::move(lock));
}

RuntimeDir::~RuntimeDir() {
  if (!lock_.valid()) return;
  HideSocket();
  unlink((path_ + kPidFile).c_str());
}

void RuntimeDir::HideSocket() const {
  if (!leave_socket_) unlink((path_ + kSocket).c_str());
}

absl::StatusOr<UniqueFd> RuntimeDir::Listen() const {
  const std::string path = path_ + kSocket;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("path of the control socket is too long: ", path,
                                                   " (at most ", sizeof address.sun_path - 1,
                                                   " octets); use a shorter --runtime-dir"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Failed("make control socket", path);
  unlink(path.c_str());  // a killed ciped's; ours is the lock
  // The mode is narrowed before anybody can connect: nobody can until listen(2).
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0660) != 0) {
    return Failed("bind control socket", path);
  }
  GiveToGroup(path);
  if (listen(fd.get(), kBacklog) != 0) return Failed("listen on", path);
  return fd;
}

}  // namespace cipe::broker
