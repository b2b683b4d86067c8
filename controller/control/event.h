// What happens to tunnels and peers, as it happens: filled by the engine, carried as JSON to who
// asked with `monitor`, rendered by cipectl. include/cipe/control/schema.h explains the fields.
#pragma once

#include <cstdint>
#include <string>

#include "control/snapshot_json.h"

namespace cipe::control {

enum class EventKind {
  kUp,              // tunnel: rung, rung_name
  kDown,            // tunnel
  kHandshake,       // peer: endpoint. A session, and none was there
  kRekeyed,         // peer: endpoint. A session in the place of one
  kNoAnswer,        // peer: why
  kClosed,          // peer: it went away and said so
  kDead,            // peer: why. It does not answer pings
  kAlive,           // peer: again
  kRoamed,          // peer: endpoint, before
  kRungChanged,     // tunnel: rung, rung_name, before, cause, reason
  kPathMtuChanged,  // peer: path_mtu, before, source
  kDropBurst,       // tunnel: reason, count, sentence. Many within a second
};
const char* EventName(EventKind kind);

struct Event {
  EventKind kind = EventKind::kUp;
  std::string tunnel;
  std::string peer;               // empty: of the tunnel
  Json details = Json::object();  // as above; no secret, and none may be added
};

// `time_ms`: unix milliseconds.
Json EventJson(const Event& event, int64_t time_ms);

}  // namespace cipe::control
