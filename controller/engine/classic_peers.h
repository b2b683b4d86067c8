// Tunnels of protocol 3: runs the key exchange from what workers report and from timers, installs
// its keys, and keeps the peer's endpoint. Nothing here survives the process: a new engine agrees
// on new keys, which takes a round trip.
//
// Who may move the endpoint: packets under a dynamic key, and the acknowledgement of a key that was
// offered just now, which nobody can have recorded. Another static-key packet may only where the
// peer is not known yet (peer 0.0.0.0:0) or where `roam-any` says so. Answers to exchange messages
// go to where those came from and our offers there, too, so that a peer that restarted somewhere
// else gets its keys and is followed. An address that no peer can have never becomes the endpoint.
//
// Who sends under a dynamic key while there is none here is asked for another one (NK_REQ), once a
// second and never with more octets than it sent: it knows us from before a restart of ours.
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
  // The name of the peer's endpoint has this address now. A peer that is heard is left alone.
  void OnResolved(Peer& peer, const Endpoint& endpoint);
  // `relay` unset: there is none now.
  void OnRelay(Tunnel& tunnel, const Endpoint& relay, std::string text);
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
  // `question`: the event of the block that `step` answers; may be null.
  void Apply(Peer& peer, classic::Step step, const dataplane::Event* question);
  void Install(Peer& peer, const classic::Step& step);
  void Send(Peer& peer, const classic::Step::Outgoing& out, const dataplane::Event* question);
  // `most`: octets of the block.
  void SendBlock(Peer& peer, const classic::Step::Outgoing& out, const session::Path& path,
                 size_t most);
  void NetworkError(Peer& peer);
  void End(Peer& peer, const classic::Step& step);
  void Ask(Peer& peer, const session::Path& path);
  bool Possible(const Peer& peer, const session::Path& path);
  bool Silent(const Peer& peer) const;
  void LookUp(Peer& peer, Instant now, Instant* next);
  void OnBlock(Peer& peer, const dataplane::Event& event);
  void OnReport(Peer& peer, const dataplane::Event& event);
  void OnInner(Peer& peer, const dataplane::Event& event);
  void OnError(Peer& peer, const dataplane::Event& event);
  // `proven`: by something that nobody can have recorded.
  void Learn(Peer& peer, classic::Under under, const session::Path& path, bool proven = false);
  void Tell(const Peer& peer);
  void LogOf(const Peer& peer, const std::string& line);

  const Clock& clock_;
  Rng& rng_;
  World& world_;
};

}  // namespace cipe::engine
