#include "tools/cipectl/daemon_end.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cipe::cipectl {

DaemonEnd::DaemonEnd(int connection) {
  ucred listener{};
  socklen_t size = sizeof listener;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) return;
  if (listener.pid <= 0) return;
  pid_ = listener.pid;
  process_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
}

bool DaemonEnd::Wait(std::chrono::milliseconds patience) const {
  if (!process_.valid()) return true;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd ended{process_.get(), POLLIN, 0};
    const int n = poll(&ended, 1, static_cast<int>(left.count()));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return true;
  }
}

}  // namespace cipe::cipectl
