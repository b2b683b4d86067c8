// cipectl reload [NAME] [--dry-run]: what the files say now becomes what is up, and is printed.
#include <cstdio>

#include "tools/cipectl/client.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

// A line per change, starting with the tunnel's name.
void Print(const control::Json& result) {
  const auto tunnels = result.find("tunnels");
  if (tunnels == result.end() || !tunnels->is_array()) return;
  if (tunnels->empty()) std::printf("no tunnel is up\n");
  for (const control::Json& tunnel : *tunnels) {
    const std::string name = tunnel.value("tunnel", "");
    const auto changes = tunnel.find("changes");
    if (changes == tunnel.end() || !changes->is_array()) continue;
    if (changes->empty()) std::printf("%s: nothing to change\n", name.c_str());
    for (const control::Json& change : *changes) {
      if (!change.is_string()) continue;
      std::printf("%s: %s\n", name.c_str(), change.get_ref<const std::string&>().c_str());
    }
  }
}

}  // namespace

int Reload(const Options& options) {
  control::Request request;
  request.verb = control::Verb::kReload;
  request.dry_run = options.dry_run;
  if (!options.first.empty()) {
    const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
    if (!name.ok()) return Complain(name.status());
    request.name = *name;
  }
  const absl::StatusOr<control::Reply> reply =
      Ask(options.runtime_dir, Expecting(options, request));
  if (!reply.ok()) return Complain(reply.status());
  if (!reply->ok) return Complain(*reply, options.json);
  if (options.json) {
    std::printf("%s\n", control::Dump(reply->result, 2).c_str());
  } else {
    Print(reply->result);
  }
  return reply->exit;
}

}  // namespace cipe::cipectl
