// cipectl version: ours, and the running daemon's when there is one.
#include <cipe_version.h>
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
    control::Json versions{{"cipectl", CIPE_VERSION},
                           {"ciped", nullptr},
                           {"ciped_pid", nullptr},
                           {"engine_pid", nullptr}};
    if (snapshot.ok()) {
      versions["ciped"] = snapshot->daemon.version;
      versions["ciped_pid"] = snapshot->daemon.ciped_pid;
      versions["engine_pid"] = snapshot->daemon.engine_pid;
    }
    std::printf("%s\n", control::Dump(versions, 2).c_str());
    return control::kExitDone;
  }
  std::printf("cipectl %s\n", CIPE_VERSION);
  if (snapshot.ok()) {
    std::printf("ciped %s (process %lld, its engine %lld, %s)\n", snapshot->daemon.version.c_str(),
                static_cast<long long>(snapshot->daemon.ciped_pid),
                static_cast<long long>(snapshot->daemon.engine_pid), snapshot->daemon.aead.c_str());
  } else {
    std::printf("ciped does not answer\n");
  }
  return control::kExitDone;
}

}  // namespace cipe::cipectl
