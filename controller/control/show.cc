#include "control/show.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cipe::control {

Reply ShowReply(const Snapshot& snapshot, const Request& request) {
  const auto is_it = [&](const TunnelStatus& tunnel) { return tunnel.name == request.name; };
  if (!request.name.empty() &&
      std::none_of(snapshot.tunnels.begin(), snapshot.tunnels.end(), is_it)) {
    return ErrorReply(
        {kErrorNotFound, absl::StrCat("there is no tunnel '", request.name, "' here: 'cipectl up ",
                                      request.name, "' would set it up")});
  }
  return OkReply(ToJson(snapshot, Selection{request.object, request.name}));
}

}  // namespace cipe::control
