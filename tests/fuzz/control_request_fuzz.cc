// Anything a stranger may send to the control socket: parsed or refused, and what is parsed is
// legal and survives a round trip.
#include <cstdlib>

#include "control/request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cipe::control;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  Request request, again;
  Error error;
  if (!ParseRequest(text, &request, &error)) {
    if (error.message.empty() || error.exit == 0) abort();
    (void)SerializeReply(ErrorReply(error));
    return 0;
  }
  if (!request.name.empty() && !IsTunnelName(request.name)) abort();
  if (ChangesThings(request.verb) && request.name.empty()) abort();
  if (!ParseRequest(SerializeRequest(request), &again, &error)) abort();
  if (again.verb != request.verb || again.name != request.name || again.object != request.object) {
    abort();
  }
  return 0;
}
