#include "session/timers.h"

#include "protocol/constants.h"

namespace cipe::session {
namespace {

Instant Load(const std::atomic<int64_t>& stamp) {
  return FromNanos(stamp.load(std::memory_order_relaxed));
}

// Is `one` later than `other` at every look, and was `other` not stamped at all, for `limit`? An
// end that answers each frame it hears is always later by a moment, and lacks nothing.
bool Outstanding(Instant one, Instant other, Duration limit, Instant now, Instant* since) {
  if (one <= other) {
    *since = {};
    return false;
  }
  if (*since == Instant{} || other >= *since) *since = now;
  return now - *since >= limit;
}

}  // namespace

TimerDecision LookAtTimers(const PeerPath& path, const TimerSettings& settings, bool initiator,
                           Instant session_created, Instant now, TimerState* state) {
  const Instant data_sent = Load(path.last_data_sent), sent = Load(path.last_sent);
  const Instant data_received = Load(path.last_data_received), received = Load(path.last_received);
  TimerDecision decision;
  const Instant late = session_created + protocol::kSessionLifetime - protocol::kDeadTimeout;
  if (initiator) {
    decision.handshake |= data_sent >= session_created + settings.rekey;
    decision.handshake |= data_received >= late;
  }
  if (settings.keep_session) {
    decision.handshake |= now >= late + (initiator ? Duration{} : protocol::kHandshakeRetry);
  }
  decision.dead =
      Outstanding(data_sent, received, protocol::kDeadTimeout, now, &state->unanswered_since);
  decision.handshake |= decision.dead;
  decision.keepalive |=
      Outstanding(data_received, sent, protocol::kKeepaliveTimeout, now, &state->unreplied_since);
  if (settings.persistent_keepalive > Duration::zero()) {
    decision.keepalive |= now - sent >= settings.persistent_keepalive;
  }
  return decision;
}

}  // namespace cipe::session
