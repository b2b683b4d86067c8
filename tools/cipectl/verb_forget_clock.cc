// cipectl forget-clock NAME PEER: the peer's next initiation is taken whatever time it says.
#include <cstdio>

#include "cipe/control/schema.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

int ForgetClock(const Options& options) {
  const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
  if (!name.ok()) return Complain(name.status());
  control::Request request;
  request.verb = control::Verb::kForgetClock;
  request.name = *name;
  request.peer = options.second;
  const absl::StatusOr<control::Reply> reply = Ask(options.runtime_dir, request);
  if (!reply.ok()) return Complain(reply.status());
  if (!reply->ok) return Complain(*reply, options.json);
  if (options.json) {
    std::printf("%s\n", control::Dump(reply->result, 2).c_str());
  } else {
    std::printf("%s: the clock of %s counts from its next handshake on\n", name->c_str(),
                options.second.c_str());
  }
  return reply->exit;
}

}  // namespace cipe::cipectl
