// When a peer needs a handshake or a keepalive; pure, fed with what workers stamped.
//
//   rekey       the initiator, when it sends data on a session older than `Rekey`
//   late rekey  the initiator, when it still receives data shortly before the keys die
//   kept        either end, when its own Ping wants a session at all times: as late, the initiator
//               first
//   dead        data was sent and nothing authenticated came back for 15 s: new handshake
//   keepalive   data was received and nothing was sent for 10 s: an empty frame
//   persistent  nothing was sent for PersistentKeepalive seconds: an empty frame
//
// Handshake retries are the engine's, they do not depend on data. Instants are CLOCK_BOOTTIME; the
// engine asks at least once a second while there is a session, so times are kept to a second.
#pragma once

#include "base/clock.h"
#include "session/peer_path.h"

namespace cipe::session {

struct TimerSettings {
  Duration rekey{};                 // of the tunnel
  Duration persistent_keepalive{};  // zero: off
  bool keep_session = false;        // also without data
};

// What the engine keeps of a peer between two looks.
struct TimerState {
  Instant unanswered_since{};  // zero: everything sent was answered
  Instant unreplied_since{};   // zero: everything heard was followed by something sent
  void Reset() { *this = {}; }
};

struct TimerDecision {
  bool handshake = false;
  bool dead = false;  // it is because nothing comes back any more
  bool keepalive = false;
};

// `session_created` and `initiator` describe the current session.
TimerDecision LookAtTimers(const PeerPath& path, const TimerSettings& settings, bool initiator,
                           Instant session_created, Instant now, TimerState* state);

}  // namespace cipe::session
