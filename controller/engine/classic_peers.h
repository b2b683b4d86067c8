// Tunnels of protocol 3: runs the key exchange from what workers report and from timers, installs
// its keys, and keeps the peer's endpoint. Nothing here survives the process: a new engine agrees
// on new keys, which takes a round trip.
//
// Who may move the endpoint: packets under a dynamic key. A static-key packet may only where the
// peer is not known yet (peer 0.0.0.0:0) or where `roam-any` says so. Answers to exchange messages
// go to where those came from, so that a peer that restarted somewhere else gets its keys first and
// moves the endpoint with its first packet under them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/rng.h"
#include "control/snapshot.h"
#include "dataplane/event.h"
#include "engine/tunnel.h"
#include "engine/world.h"

namespace cipe::engine {

class ClassicPeers {
 public:
  ClassicPeers(const Clock& clock, Rng& rng, World& world)
      : clock_(clock), rng_(rng), world_(world) {}

  static bool Is(const Tunnel& tunnel) { return tunnel.classic != nullptr; }

  // Makes `tunnel.classic` from the options in its config, whose secrets are wiped; the one peer
  // must be there. Fails when libgcrypt refuses the cipher.
  absl::Status Fill(Tunnel& tunnel);
  // The peer's endpoint may have become known, or the relay's: the exchange begins.
  void Start(Tunnel& tunnel);
  void Stop(Tunnel& tunnel);
  void OnEvent(Peer& peer, const dataplane::Event& event);
  // `relay` unset: there is none now.
  void OnRelay(Tunnel& tunnel, const Endpoint& relay, std::string state);
  // New keys for both directions, after a suspend.
  void Renew(Tunnel& tunnel);
  // Returns when to call again at the latest.
  Instant Tick(Tunnel& tunnel, Instant now);

  static bool Connected(const Tunnel& tunnel);
  // Likeliest reason for not being connected; empty when it is.
  static std::string WhyNot(const Peer& peer);
  static control::PeerStatus StatusOf(const Peer& peer);
  // Fields of `status` that protocol 3 has in its own way.
  static void Describe(const Tunnel& tunnel, control::TunnelStatus* status);
  // One for each key in use.
  static std::vector<control::SessionStatus> Keys(const Peer& peer, Instant now);

 private:
  void Apply(Peer& peer, classic::Step step, const session::Path* answer_to);
  void Install(Peer& peer, const classic::Step& step);
  void SendBlock(Peer& peer, const classic::Step::Outgoing& out, const session::Path& path);
  void OnBlock(Peer& peer, const dataplane::Event& event);
  void OnReport(Peer& peer, uint8_t report);
  void OnInner(Peer& peer, const dataplane::Event& event);
  void OnError(Peer& peer, const dataplane::Event& event);
  void Learn(Peer& peer, classic::Under under, const session::Path& path);
  void Tell(const Peer& peer);
  void LogOf(const Peer& peer, const std::string& line);

  const Clock& clock_;
  Rng& rng_;
  World& world_;
};

}  // namespace cipe::engine
