// cipectl's end of the control socket.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "control/reply.h"
#include "control/request.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

// Connects to RUNTIME_DIR/ciped.sock. Unavailable: no ciped there; PermissionDenied: not for us.
absl::StatusOr<UniqueFd> Connect(const std::string& runtime_dir);

// Sends one request and waits for its reply. DeadlineExceeded after two minutes without one,
// Aborted when the daemon ends before it answers.
absl::StatusOr<control::Reply> Call(int fd, const control::Request& request);

// What is left of the connection of a `monitor` request: one document at a time.
class EventReader {
 public:
  // `fd` is borrowed; the reply has been read.
  explicit EventReader(int fd) : fd_(fd) {}
  // Waits for the next event. Aborted when ciped closed the connection.
  absl::StatusOr<control::Json> Next();

 private:
  const int fd_;
  std::string buffer_;
};

// Connect and Call.
absl::StatusOr<control::Reply> Ask(const std::string& runtime_dir, const control::Request& request);

// `request`, to be refused by a ciped that uses other directories than our command line names (with
// an option, or in the path of a tunnel file).
control::Request Expecting(const Options& options, control::Request request);

// "cipectl: <message>" on standard error, and the exit code for it.
int Complain(const absl::Status& status);
// Prints what a verb gives for a failed reply (JSON with `json`); returns its exit code.
int Complain(const control::Reply& reply, bool json);

}  // namespace cipe::cipectl
