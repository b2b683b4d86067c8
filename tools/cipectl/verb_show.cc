// cipectl show [OBJECT] [NAME]: one snapshot in one of three renderings.
#include <cstdio>

#include "cipe/control/schema.h"
#include "control/snapshot_json.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/render_human.h"
#include "tools/cipectl/render_script.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

absl::StatusOr<control::Request> RequestOf(const Options& options) {
  control::Request request;
  request.verb = control::Verb::kShow;
  std::string name = options.first;
  // `cipectl show site-a` names a tunnel at once, as long as it is not called like an object.
  if (control::ParseObject(options.first, &request.object)) {
    name = options.second;
  } else if (!options.second.empty()) {
    return absl::InvalidArgumentError("'" + options.first +
                                      "' cannot be shown: tunnels, peers, sessions or drops");
  }
  if (!name.empty()) {
    const absl::StatusOr<std::string> tunnel = TunnelNameOf(name, options.config_dir);
    if (!tunnel.ok()) return tunnel.status();
    request.name = *tunnel;
  }
  if ((options.script || !options.field.empty()) && request.object == control::Object::kAll) {
    return absl::InvalidArgumentError(
        "--script and --field need an object: tunnels, peers, sessions or drops");
  }
  return request;
}

absl::StatusOr<std::string> Render(const Options& options, const control::Request& request,
                                   const control::Json& status) {
  if (options.json) return control::Dump(status, 2) + "\n";
  if (!options.field.empty()) return RenderField(status, request.object, options.field);
  if (options.script) return RenderScript(status, request.object);
  const absl::StatusOr<control::Snapshot> snapshot = control::SnapshotFromJson(status);
  if (!snapshot.ok()) return snapshot.status();
  return RenderHuman(*snapshot, request.object);
}

}  // namespace

int Show(const Options& options) {
  const absl::StatusOr<control::Request> request = RequestOf(options);
  if (!request.ok()) return Complain(request.status());
  const absl::StatusOr<control::Reply> reply =
      Ask(options.runtime_dir, Expecting(options, *request));
  if (!reply.ok()) return Complain(reply.status());
  if (!reply->ok) return Complain(*reply, options.json);
  const absl::StatusOr<std::string> text = Render(options, *request, reply->result);
  if (!text.ok()) return Complain(text.status());
  std::fwrite(text->data(), 1, text->size(), stdout);
  return reply->exit;
}

}  // namespace cipe::cipectl
