#include "tools/classic/watch_log.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/cipectl/client.h"

namespace cipe::classic_start {
namespace {

sigset_t EndingSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// False at the end: nobody writes any more.
bool CopyLog(int from) {
  char buffer[4096];
  const ssize_t n = read(from, buffer, sizeof buffer);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n > 0) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, buffer, static_cast<size_t>(n));
  }
  return n > 0;
}

absl::Status TakeDown(const cipectl::Options& where, const Started& link) {
  CIPE_ASSIGN_OR_RETURN(
      const control::Reply reply,
      cipectl::Ask(where.runtime_dir,
                   {.verb = control::Verb::kDown, .name = link.name, .wait = true, .object = {}}));
  return reply.ok ? absl::OkStatus() : absl::InternalError(reply.error.message);
}

}  // namespace

void BlockSignals() {
  const sigset_t set = EndingSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

absl::Status WatchLog(const cipectl::Options& where, const Started& link) {
  const sigset_t set = EndingSignals();
  const UniqueFd signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return absl::InternalError(absl::StrCat("signalfd: ", strerror(errno)));
  for (;;) {
    pollfd waiting[2] = {{signals.get(), POLLIN, 0}, {link.log.get(), POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return absl::InternalError(strerror(errno));
    if (waiting[0].revents != 0) break;
    if (waiting[1].revents != 0 && !CopyLog(link.log.get())) {
      return absl::AbortedError(absl::StrCat("tunnel ", link.name, " has ended"));
    }
  }
  const absl::Status status = TakeDown(where, link);
  pollfd waiting{link.log.get(), POLLIN, 0};
  while (poll(&waiting, 1, 200) > 0 && CopyLog(link.log.get())) {
  }
  return status;
}

}  // namespace cipe::classic_start
