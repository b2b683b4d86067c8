#include "control/event.h"

#include "cipe/control/schema.h"

namespace cipe::control {

const char* EventName(EventKind kind) {
  switch (kind) {
    case EventKind::kUp:
      return "up";
    case EventKind::kDown:
      return "down";
    case EventKind::kHandshake:
      return "handshake";
    case EventKind::kRekeyed:
      return "rekeyed";
    case EventKind::kNoAnswer:
      return "no_answer";
    case EventKind::kClosed:
      return "closed";
    case EventKind::kDead:
      return "dead";
    case EventKind::kAlive:
      return "alive";
    case EventKind::kRoamed:
      return "roamed";
    case EventKind::kRungChanged:
      return "rung_changed";
    case EventKind::kPathMtuChanged:
      return "path_mtu_changed";
    case EventKind::kDropBurst:
      return "drop_burst";
  }
  return "unknown";
}

Json EventJson(const Event& event, int64_t time_ms) {
  Json json = {{"version", kSchemaVersion},
               {"time", static_cast<double>(time_ms) / 1000},
               {"event", EventName(event.kind)},
               {"tunnel", event.tunnel},
               {"peer", event.peer.empty() ? Json(nullptr) : Json(event.peer)}};
  json.update(event.details);
  return json;
}

}  // namespace cipe::control
