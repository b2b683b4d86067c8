// cipectl down NAME: takes the tunnel down and leaves nothing of it behind; when it was the last
// one, and ciped was started by cipectl, no ciped either.
#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/daemon_end.h"
#include "tools/cipectl/start.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

constexpr auto kPatience = std::chrono::seconds(15);
constexpr int kAttempts = 3;

void Report(const Options& options, const std::string& name, const control::Json& result) {
  if (options.json) {
    std::printf("%s\n", control::Dump(result, 2).c_str());
  } else {
    std::printf("%s is down\n", name.c_str());
  }
}

// A ciped that crashed or was stopped left reject routes, and would bring the tunnel up again.
int DownOffline(const Options& options, const std::string& name, const absl::Status& why) {
  // Who may not look finds nothing.
  const absl::Status status =
      geteuid() == 0 ? ForgetOffline(options, name) : absl::NotFoundError("");
  if (absl::IsNotFound(status)) return Complain(why);
  if (!status.ok()) return Complain(status);
  Report(options, name, {{"tunnel", name}, {"ciped_ends", false}});
  return control::kExitDone;
}

// The exit status in *result, once ciped has answered.
absl::Status AskToGo(const Options& options, const std::string& name, int fd, int* result) {
  const DaemonEnd ciped(fd);
  control::Request request;
  request.verb = control::Verb::kDown;
  request.name = name;
  CIPE_ASSIGN_OR_RETURN(const control::Reply reply, Call(fd, Expecting(options, request)));
  if (!reply.ok) {
    *result = Complain(reply, options.json);
    return absl::OkStatus();
  }
  Report(options, name, reply.result);
  const auto ends = reply.result.find("ciped_ends");
  if (ends != reply.result.end() && *ends == true && !ciped.Wait(kPatience)) {
    return absl::DeadlineExceededError(absl::StrCat(name, " is down, but ciped (process ",
                                                    ciped.pid(), ") does not end: see its log"));
  }
  *result = reply.exit;
  return absl::OkStatus();
}

}  // namespace

int Down(const Options& options) {
  const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
  if (!name.ok()) return Complain(name.status());
  int result = control::kExitFailed;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const absl::StatusOr<UniqueFd> fd = Connect(options.runtime_dir);
    if (absl::IsUnavailable(fd.status())) return DownOffline(options, *name, fd.status());
    if (!fd.ok()) return Complain(fd.status());
    const absl::Status status = AskToGo(options, *name, fd->get(), &result);
    if (status.ok()) return result;
    // Aborted: it was just ending, and left what there is to be taken away.
    if (!absl::IsAborted(status) || attempt + 1 == kAttempts) return Complain(status);
  }
  return result;
}

}  // namespace cipe::cipectl
