#include "broker/daemon_log.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "broker/runtime_dir.h"

namespace cipe::broker {
namespace {

constexpr char kIdentifier[] = "ciped";
constexpr auto kLook = std::chrono::seconds(10);

absl::Status Failed(absl::string_view what, absl::string_view path) {
  return absl::InternalError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

// journald's "dev:inode" of the stream, by which programs know that they write to it
// (systemd.exec(5), $JOURNAL_STREAM); log.cc looks for the variable.
void SayJournalStream(int fd) {
  struct stat st {};
  if (fstat(fd, &st) != 0) return;
  setenv("JOURNAL_STREAM", absl::StrCat(st.st_dev, ":", st.st_ino).c_str(), /*overwrite=*/1);
}

}  // namespace

absl::StatusOr<DaemonLog> DaemonLog::Open(const std::string& runtime_dir) {
  // With the <N> prefixes of log.cc. Negative when nobody listens at journald's socket.
  UniqueFd journal(sd_journal_stream_fd(kIdentifier, LOG_INFO, /*level_prefix=*/1));
  if (journal.valid()) {
    return DaemonLog(std::move(journal), "", absl::StrCat("journalctl -t ", kIdentifier));
  }
  const std::string path = runtime_dir + "/ciped.log";
  // O_NONBLOCK: a pipe of that name, made by somebody, must not stop us.
  UniqueFd fd(open(path.c_str(),
                   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd.valid()) return Failed("open log file", path);
  struct stat st {};
  if (fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("log file ", path, " is no regular file: remove it"));
  }
  // The group first: nobody else's may read it meanwhile.
  GiveToGroup(path, fd.get());
  if (fchmod(fd.get(), 0640) != 0) return Failed("change the mode of log file", path);
  return DaemonLog(std::move(fd), path, path);
}

absl::Status DaemonLog::TakeStandardStreams() const {
  if (path_.empty()) {
    SayJournalStream(fd_.get());
  } else {
    unsetenv("JOURNAL_STREAM");  // our starter's
  }
  if (dup2(fd_.get(), STDOUT_FILENO) < 0 || dup2(fd_.get(), STDERR_FILENO) < 0) {
    return Failed("write the log to", where_);
  }
  return absl::OkStatus();
}

void DaemonLog::KeepBounded(EventLoop& loop, off_t max_octets) const {
  if (path_.empty()) return;
  loop.After(kLook, [this, &loop, max_octets] {
    Bound(max_octets);
    KeepBounded(loop, max_octets);
  });
}

// Not renamed but copied: the engine has the file open and may open no other.
void DaemonLog::Bound(off_t max_octets) const {
  struct stat st {};
  if (path_.empty() || fstat(fd_.get(), &st) != 0 || st.st_size <= max_octets) return;
  const std::string old = path_ + ".old";
  unlink(old.c_str());
  const UniqueFd from(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  const UniqueFd to(open(old.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  off_t at = std::max<off_t>(0, st.st_size - max_octets);  // of a flood, the end
  while (from.valid() && to.valid() &&
         sendfile(to.get(), from.get(), &at, static_cast<size_t>(max_octets)) > 0) {
  }
  if (to.valid()) {
    GiveToGroup(old, to.get());
    fchmod(to.get(), 0640);
  }
  if (ftruncate(fd_.get(), 0) != 0) Log(Severity::kWarning, "log file: ", strerror(errno));
}

}  // namespace cipe::broker
