// cipectl monitor [NAME]: what happens, as it happens.
#include <cstdio>
#include <ctime>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/render_event.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

using std::chrono::milliseconds;

constexpr auto kReplacedWithin = std::chrono::seconds(10);

// Events until the connection ends; Aborted then.
absl::Status Follow(int fd, bool json) {
  EventReader reader(fd);
  while (true) {
    CIPE_ASSIGN_OR_RETURN(const control::Json event, reader.Next());
    const std::string line = json ? control::Dump(event) : RenderEvent(event);
    std::printf("%s\n", line.c_str());
    if (std::fflush(stdout) != 0) return absl::InternalError("nobody reads what is printed");
  }
}

}  // namespace

int Monitor(const Options& options) {
  control::Request request;
  request.verb = control::Verb::kMonitor;
  if (!options.first.empty()) {
    const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
    if (!name.ok()) return Complain(name.status());
    request.name = *name;
  }
  request = Expecting(options, request);
  auto gone_since = std::chrono::steady_clock::now() - kReplacedWithin;
  while (true) {
    const absl::StatusOr<UniqueFd> fd = Connect(options.runtime_dir);
    absl::StatusOr<control::Reply> reply =
        fd.status().ok() ? Call(fd->get(), request) : absl::StatusOr<control::Reply>(fd.status());
    if (!reply.ok()) {
      const bool again = absl::IsUnavailable(reply.status()) || absl::IsAborted(reply.status());
      if (!again || std::chrono::steady_clock::now() - gone_since > kReplacedWithin) {
        return Complain(reply.status());
      }
      std::this_thread::sleep_for(milliseconds(100));  // one that is being replaced has no event
      continue;
    }
    if (!reply->ok) return Complain(*reply, options.json);
    if (const absl::Status end = Follow(fd->get(), options.json); !absl::IsAborted(end)) {
      return Complain(end);
    }
    gone_since = std::chrono::steady_clock::now();
  }
}

}  // namespace cipe::cipectl
