// Starting ciped when none answers.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "control/reply.h"
#include "control/request.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

// The ciped to run: $CIPE_CIPED, else beside cipectl's own binary, else in ../sbin from there, else
// in the build tree's controller/ or broker/ folders, else the first of PATH. NotFound says where
// it looked.
absl::StatusOr<std::string> FindDaemon();

// Runs `ciped --daemon` with the directories of `options` and waits for its exit: status 0 means
// that the daemon left behind is ready; it ends when its last tunnel goes down. Why it did not
// start goes to our standard error; its log goes to the journal or a file (broker/daemon_log.h).
absl::Status StartDaemon(const Options& options);

// `down` while none answers: the tunnel does not come up again with the next start, and its reject
// routes go. NotFound: nothing was left of it.
absl::Status ForgetOffline(const Options& options, const std::string& tunnel);

// Connects, starting ciped when none answers. *started (may be null): it was started just now, so
// its log goes to our standard error.
absl::StatusOr<UniqueFd> ConnectOrStart(const Options& options, bool* started = nullptr);

// Sends a request, starting ciped when none answers or the one that took it is just ending.
absl::StatusOr<control::Reply> AskOrStart(const Options& options, const control::Request& request,
                                          bool* started = nullptr);

}  // namespace cipe::cipectl
