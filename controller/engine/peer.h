// A peer as the control thread sees it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "config/model.h"
#include "handshake/cookie.h"
#include "handshake/identity.h"
#include "handshake/initiator.h"
#include "ipc/messages.h"
#include "protocol/tai64n.h"
#include "session/session.h"
#include "session/timers.h"

namespace cipe::engine {

struct Tunnel;

// The handshake we are trying to finish with a peer.
struct Attempt {
  Instant since{};                 // first initiation of this attempt
  Instant retry_at{};
  int initiations = 0;
  bool reported = false;           // "no answer" was logged
  bool waiting_for_floor = false;
  bool cookie_hurried = false;  // a cookie reply has brought a retry forward
  bool resolved_again = false;  // the name of its endpoint was asked for anew
  // What we knew before it, to tell what came of it.
  uint64_t refused_other_suite = 0, refused_mac1 = 0, refused_unknown = 0;
  uint64_t wrong_psk = 0;
};

struct Peer {
  Tunnel* tunnel = nullptr;
  config::Peer config;
  std::optional<handshake::SharedKeyIdentity> shared;   // NNpsk0
  session::PeerPath path;

  // Key epochs. Owned by the session table.
  session::Session* previous = nullptr;
  session::Session* current = nullptr;
  session::Session* next = nullptr;     // made as responder, not yet confirmed

  std::optional<Attempt> attempt;
  std::optional<handshake::Initiator> initiator;        // last initiation sent, unanswered
  handshake::CookieHolder cookie;
  session::TimerState timers;

  protocol::Tai64n last_sent;           // time stamp of our last initiation
  protocol::Tai64n sent_reserved;       // all up to here may be used; on disk
  protocol::Tai64n received;            // greatest accepted
  bool clock_behind = false;            // its last initiation was older than `received`
  Instant last_accepted{};              // when an initiation of this peer was last worked on

  Endpoint configured;                  // resolved; unset = none
  std::optional<WallTime> latest_handshake;
  std::string trouble;                  // what the network or the peer said last; for `show`

  bool initiated_by_key() const { return config.auth == config::Auth::kPublicKey; }
  uint32_t id() const { return path.peer; }
};

}  // namespace cipe::engine
