// Where a ciped in the background writes its log: the journal, or a file of bounded size.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace cipe::broker {

class DaemonLog {
 public:
  // To the journal when journald runs (sd_journal_stream_fd(3)), else appending to
  // RUNTIME_DIR/ciped.log, mode 0640, group "cipe" where that exists.
  static absl::StatusOr<DaemonLog> Open(const std::string& runtime_dir);

  // Standard output and error go there from now on, those of children too, and lines get the prefix
  // journald wants, or none (log.h). Before the first line of log and the first thread.
  absl::Status TakeStandardStreams() const;

  // Every ten seconds: a file above `max_octets` becomes FILE.old, which replaces an older one, and
  // starts again. A line written just then may get lost. `loop` must outlive every call.
  void KeepBounded(EventLoop& loop, off_t max_octets = 1 << 20) const;
  // One look at the size; KeepBounded's step.
  void Bound(off_t max_octets) const;

  // For people: "journalctl -t ciped", or the path of the file.
  const std::string& where() const { return where_; }

 private:
  DaemonLog(UniqueFd fd, std::string path, std::string where)
      : fd_(std::move(fd)), path_(std::move(path)), where_(std::move(where)) {}
  UniqueFd fd_;
  std::string path_;  // empty: the journal
  std::string where_;
};

}  // namespace cipe::broker
