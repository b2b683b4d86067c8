// cipectl up NAME: sets the tunnel up, starting ciped if need be.
#include <cstdio>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/start.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

absl::StatusOr<UniqueFd> ConnectOrStart(const Options& options) {
  absl::StatusOr<UniqueFd> fd = Connect(options.runtime_dir);
  if (!absl::IsUnavailable(fd.status())) return fd;
  const absl::Status started = StartDaemon(options);
  // Asked even after a failure: another `cipectl up` may have been faster with the same idea.
  fd = Connect(options.runtime_dir);
  if (!fd.ok() && !started.ok()) return started;
  return fd;
}

// A daemon may be ending just now: its socket still takes connections and answers none. Then a new
// one is started.
absl::StatusOr<control::Reply> AskOrStart(const Options& options, const control::Request& request) {
  absl::StatusOr<control::Reply> reply = absl::UnavailableError("not asked");
  for (int attempt = 0; attempt < 3; ++attempt) {
    CIPE_ASSIGN_OR_RETURN(const UniqueFd fd, ConnectOrStart(options));
    reply = Call(fd.get(), request);
    if (!absl::IsAborted(reply.status())) break;
  }
  return reply;
}

int Report(const control::Reply& reply, const std::string& name, bool json) {
  if (!reply.ok) return Complain(reply, json);
  if (json) {
    std::printf("%s\n", control::Dump(reply.result, 2).c_str());
  } else if (reply.exit != control::kExitDegraded) {
    std::printf("%s is up\n", name.c_str());
  }
  if (reply.exit == control::kExitDegraded) {
    std::string reason = "no reason given";
    if (const auto it = reply.result.find("reason"); it != reply.result.end() && it->is_string()) {
      reason = it->get<std::string>();
    }
    std::fprintf(stderr, "cipectl: %s is up but degraded: %s\n", name.c_str(), reason.c_str());
  }
  return reply.exit;
}

}  // namespace

int Up(const Options& options) {
  const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
  if (!name.ok()) return Complain(name.status());
  const absl::StatusOr<control::Reply> reply = AskOrStart(options, {.verb = control::Verb::kUp,
                                                                    .name = *name,
                                                                    .wait = !options.no_wait,
                                                                    .object = {},
                                                                    .peer = {}});
  if (!reply.ok()) return Complain(reply.status());
  return Report(*reply, *name, options.json);
}

}  // namespace cipe::cipectl
