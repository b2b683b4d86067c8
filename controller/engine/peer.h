// A peer as the control thread sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "config/model.h"
#include "engine/liveness.h"
#include "engine/path_probing.h"
#include "engine/stamps.h"
#include "handshake/cookie.h"
#include "handshake/identity.h"
#include "handshake/initiator.h"
#include "ipc/messages.h"
#include "session/session.h"
#include "session/timers.h"

namespace cipe::engine {

struct Tunnel;

// What NotePeerState is told of.
enum class PeerState : uint8_t {
  kDown,       // no session
  kConnected,  // a session, and nothing said against it
  kDead,       // pings are not answered (engine/liveness.h), with or without a session
};

// The handshake we are trying to finish with a peer.
struct Attempt {
  Instant since{};  // first initiation of this attempt
  Instant retry_at{};
  int initiations = 0;
  bool reported = false;  // "no answer" was logged
  bool waiting_for_floor = false;
  bool cookie_hurried = false;  // a cookie reply has brought a retry forward
  bool rekey = false;           // a session works meanwhile
  int tries_here = 0;           // initiations since the configured endpoint was last given up
  bool failed = false;          // the configured endpoint was given up in this attempt
  bool moved = false;           // and another one was given for it
  bool in_turn = false;         // retry_at was given out by Engine::TakeTurn
  // What we knew before it, to tell what came of it.
  uint64_t refused_other_suite = 0, refused_mac1 = 0, refused_unknown = 0;
  uint64_t wrong_psk = 0;
};

struct Peer {
  Tunnel* tunnel = nullptr;
  config::Peer config;
  std::optional<handshake::SharedKeyIdentity> shared;  // NNpsk0
  session::PeerPath path;

  // Key epochs. Owned by the session table.
  session::Session* previous = nullptr;
  session::Session* current = nullptr;
  session::Session* next = nullptr;  // made as responder, not yet confirmed

  std::optional<Attempt> attempt;
  std::unique_ptr<handshake::Initiator> initiator;  // last initiation sent, unanswered
  handshake::CookieHolder cookie;
  session::TimerState timers;
  std::unique_ptr<PathProbing> probing;

  std::shared_ptr<Sender> sender;  // of our identity, shared with its other peers
  StampPair* stamps = nullptr;     // of the sender
  bool clock_behind = false;       // its last initiation was older than one before
  bool own_id_back = false;  // a handshake of it had our node id, since the last attempt began
  Instant last_accepted{};   // when an initiation of this peer was last worked on

  bool unusable = false;  // no initiation can be made with this configuration; `trouble` says why
  Endpoint configured;    // what the broker's endpoint book gave last; unset = none
  Endpoint from_book;     // the one path.remote was taken from; else that was learned
  Liveness liveness;
  PeerState state = PeerState::kDown;
  Instant start_at{};  // a handshake waits for its turn; zero = none does
  static constexpr size_t kNotDue = static_cast<size_t>(-1);
  size_t due_slot = kNotDue;  // DueList's
  std::optional<WallTime> latest_handshake;
  uint64_t saved_packets = 0;  // rx + tx when its counters last went to the store
  Instant save_traffic_at{};
  std::string trouble;       // what the network or the peer said last; for `show`
  std::string send_trouble;  // why this host could not send the last frame; for `show`
  std::string name_trouble;  // why the endpoint's name gives no address; for `show`

  bool initiated_by_key() const { return config.auth == config::Auth::kPublicKey; }
  uint32_t id() const { return path.peer; }
};

// What World::Send said about a frame to `to`: counts it, and keeps the reason for `show`.
void NoteSent(Peer& peer, const Endpoint& to, int error);

}  // namespace cipe::engine
