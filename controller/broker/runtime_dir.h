// RUNTIME_DIR: the lock that keeps a second ciped away, and the control socket.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/directory.h"
#include "base/unique_fd.h"

namespace cipe::broker {

inline constexpr int kBacklog = 64;  // of the control socket

class RuntimeDir {
 public:
  // Makes the directory (0755, whatever the umask) when it is missing and locks
  // RUNTIME_DIR/ciped.pid, which holds our process id from then on. AlreadyExists names the process
  // that has it; the lock ends with the process, however that ends. One that is just ending, or
  // starting, has no socket: it is waited for, five seconds at most, as is one that was killed.
  static absl::StatusOr<RuntimeDir> Lock(const std::string& path);
  // With the lock of another daemon, which ends without touching the directory.
  static absl::StatusOr<RuntimeDir> Adopt(const std::string& path, UniqueFd lock);
  RuntimeDir(RuntimeDir&&) = default;
  RuntimeDir& operator=(RuntimeDir&&) = default;
  ~RuntimeDir();  // removes socket and pid file
  // The socket is somebody else's (a socket unit's): its name stays.
  void LeaveSocket() { leave_socket_ = true; }

  // The listening socket ciped.sock, mode 0660, group "cipe" where that exists.
  absl::StatusOr<UniqueFd> Listen() const;
  const std::string& path() const { return path_; }
  int lock() const { return lock_.get(); }
  // Takes its name away: who looks for a ciped finds none from now on, and waits for its end.
  void HideSocket() const;

 private:
  RuntimeDir(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;
  bool leave_socket_ = false;
};

// To group "cipe" where that exists; a failure is only logged. `fd` when `path` is open, else -1.
void GiveToGroup(const std::string& path, int fd = -1);

// Opens (made 0600, but for `mode`) and locks `file` for this process, and writes its process id
// into it. AlreadyExists names the process that has it, `directory` that is taken and `option`,
// which chooses another; a process that was killed gets 5 s to let go. Symbolic links are not
// followed.
absl::StatusOr<UniqueFd> LockFile(const std::string& file, const std::string& directory,
                                  absl::string_view option, unsigned mode = 0600);

// Writes our process id into a lock that was handed over.
absl::Status TakeLock(int fd, const std::string& file);

}  // namespace cipe::broker
