// cipectl version: ours, and the running daemon's when there is one.
#include <cstdio>

#include "control/snapshot_json.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {

int Version(const Options& options) {
  control::Request request;
  // The least there is to ask for; the daemon's own lines come with every answer.
  request.object = control::Object::kTunnels;
  const absl::StatusOr<control::Reply> reply = Ask(options.runtime_dir, request);
  absl::StatusOr<control::Snapshot> snapshot = absl::UnavailableError("");
  if (reply.ok() && reply->ok) snapshot = control::SnapshotFromJson(reply->result);
  if (options.json) {
    const control::Json daemon =
        snapshot.ok() ? control::Json(snapshot->daemon.version) : control::Json(nullptr);
    std::printf(
        "%s\n",
        control::Dump(control::Json{{"cipectl", CIPE_VERSION}, {"ciped", daemon}}, 2).c_str());
    return control::kExitDone;
  }
  std::printf("cipectl %s\n", CIPE_VERSION);
  if (snapshot.ok()) {
    std::printf("ciped %s (process %lld, %s)\n", snapshot->daemon.version.c_str(),
                static_cast<long long>(snapshot->daemon.pid), snapshot->daemon.aead.c_str());
  } else {
    std::printf("ciped does not answer\n");
  }
  return control::kExitDone;
}

}  // namespace cipe::cipectl
