// cipectl down NAME: takes the tunnel down and leaves nothing of it behind.
#include <cstdio>

#include "cipe/control/schema.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

int Down(const Options& options) {
  const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
  if (!name.ok()) return Complain(name.status());
  const absl::StatusOr<control::Reply> reply =
      Ask(options.runtime_dir,
          {.verb = control::Verb::kDown, .name = *name, .wait = true, .object = {}, .peer = {}});
  if (!reply.ok()) return Complain(reply.status());
  if (!reply->ok) return Complain(*reply, options.json);
  if (options.json) {
    std::printf("%s\n", control::Dump(reply->result, 2).c_str());
  } else {
    std::printf("%s is down\n", name->c_str());
  }
  return reply->exit;
}

}  // namespace cipe::cipectl
