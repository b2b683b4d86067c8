// The single writer of peers and sessions: handshakes, key slots, timers, take-over. No I/O and no
// clock of its own, so that two engines can be run against each other in memory.
//
//   a key:  config -> handshake -> slot "next" or "current" -> session table and store -> only then
//           the peer learns of it -> "previous" -> wiped
//
// All calls come from one thread, except that workers read what sessions() and the paths publish.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/rng.h"
#include "control/snapshot.h"
#include "crypto/aead.h"
#include "dataplane/event.h"
#include "engine/classic_peers.h"
#include "engine/due_list.h"
#include "engine/lane_slots.h"
#include "engine/session_store.h"
#include "engine/stamps.h"
#include "engine/tunnel.h"
#include "engine/world.h"
#include "handshake/cookie.h"
#include "handshake/rate_limiter.h"
#include "ipc/messages.h"
#include "session/quiescent.h"
#include "session/session_table.h"

namespace cipe::engine {

// Initiations to an endpoint before the next one has its turn.
inline constexpr int kTries = 2;

struct EngineOptions {
  protocol::NodeId node_id{};  // of this host, kept across restarts
  AeadBackend backend = AeadBackend::kOpenSsl;
  size_t event_capacity = 4096;
  int event_wake = -1;  // eventfd written when events wait
  // Initiations worked on per second before sources must show a cookie.
  int load_limit = 200;
};

class Engine {
 public:
  // All must outlive the engine.
  Engine(const EngineOptions& options, const Clock& clock, Rng& rng, World& world,
         SessionStore& store);
  ~Engine();

  session::SessionTable& sessions() { return sessions_; }
  session::QuiescentDomain& quiescent() { return quiescent_; }
  dataplane::EventQueue& events() { return events_; }

  // Makes the tunnel known; workers may be given TunnelOf(id).path afterwards. InvalidArgument for
  // keys that cannot be used, AlreadyExists for an id in use. With `add.takeover` sessions left in
  // the store are taken over. Descriptors in `add` are not touched.
  absl::Status AddTunnel(ipc::TunnelAdd& add);
  // Frames can be sent now: handshakes begin with every peer that has an endpoint and no session.
  void StartTunnel(uint32_t tunnel);
  // No handshake, no new session from here on; then workers must let go, then RemoveTunnel.
  void StopTunnel(uint32_t tunnel);
  void RemoveTunnel(uint32_t tunnel);
  // Tells the peers of a tunnel that its sessions end (docs/protocol.md, "In-tunnel control"); to
  // be called just before they do.
  void CloseSessions(uint32_t tunnel);
  // change.cc: the tunnel is as `change` says when it returns; on an error nothing has changed.
  // InvalidArgument, AlreadyExists as AddTunnel; Unimplemented for protocol 3. Descriptors in
  // `change` are not touched.
  absl::Status ChangeTunnel(ipc::TunnelChange& change);
  // While no worker knows the tunnel.
  void SetListenPort(uint32_t tunnel, uint16_t port);
  Tunnel* FindTunnel(uint32_t tunnel);
  Tunnel* FindTunnel(absl::string_view name);

  // The peer is no longer sent to from path.local, if it was. It hears of it at once, so that what
  // it sends finds the new address without waiting for a timeout.
  void SourceGone(uint32_t tunnel, uint32_t peer, const session::Path& path);
  // All peers with a session hear from the tunnel: it has another port.
  void SendKeepalives(uint32_t tunnel);
  // What the endpoint book says now. Taken at once while there is no session, else with the next
  // handshake. `endpoint` unset: there is none, because of `trouble`.
  void EndpointResolved(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint,
                        const std::string& trouble = "");
  // Carriers came or went; the MTU announced is from the next handshake on.
  void DatapathChanged(ipc::DatapathChanged& changed);
  // Answer to World::SaveFloor with `must_be_durable`: `floor` is on disk, or why it is not.
  void FloorSaved(uint32_t tunnel, uint32_t peer, const ipc::Floor& floor,
                  const absl::Status& status);
  // Protocol 3 behind a SOCKS5 server; `relay` unset: there is none now.
  void ClassicRelay(uint32_t tunnel, const Endpoint& relay, const std::string& state);
  // Whether data can flow, as far as this side knows.
  static bool Connected(const Peer& peer);
  // The network said (unauthenticated) that frames to these destinations do not arrive. One look at
  // each peer, however many errors there are.
  struct NetworkError {
    Endpoint destination;
    int error = 0;  // errno
  };
  void NetworkErrors(uint32_t tunnel, absl::Span<const NetworkError> errors);
  // Answer to World::AskPathMtu.
  void PathMtuKnown(const ipc::PathMtuKnown& known);
  // Links, addresses or routes of this host changed.
  void PathsChanged();
  std::vector<uint32_t> TunnelIds() const;

  // Every session is wiped and made anew where there is an endpoint: after a suspend, during which
  // memory may have been written to disk or copied (docs/protocol.md, "Lifetimes").
  void WipeSessions();

  // Drops of each tunnel, its peers' included, by reason.
  std::map<std::string, std::array<uint64_t, CIPE_DROP_REASONS>> DropsByTunnel() const;
  // Counters of all peers go to the store now: this process is about to end.
  void SaveAllTraffic();

  // Null when the tunnel has no peer of this name or public key (base64).
  static Peer* FindPeer(const Tunnel& tunnel, absl::string_view name_or_key);
  // The next initiation of the peer is taken whatever its time stamp. Returns what the broker must
  // keep for that to outlive this process.
  ipc::Floor ForgetClock(Peer& peer);

  // What workers reported.
  void HandleEvents();
  // Runs timers; returns when to call again at the latest.
  Instant Tick();
  // Starts a handshake unless one is under way. `rekey`: while a session works.
  void StartHandshake(Peer& peer, bool rekey = false);

  // Likeliest reason why the peer has no session, as far as this side can know; empty when it has.
  std::string WhyNoSession(const Peer& peer) const { return Diagnose(peer).why; }
  struct Diagnosis {
    std::string why;
    std::string advice;  // what to do about just that; may be empty
  };
  Diagnosis Diagnose(const Peer& peer) const;
  control::Snapshot TakeSnapshot() const;

 private:
  // handshakes.cc
  void ControlFrame(const dataplane::Event& event);
  void Initiation(Tunnel& tunnel, const session::Path& path, absl::Span<const uint8_t> frame);
  bool AdmitUnderLoad(Tunnel& tunnel, const session::Path& path,
                      const handshake::PeekedInitiation& peeked);
  void Respond(Tunnel& tunnel, Peer& peer, const session::Path& path,
               handshake::Responder& responder);
  void Response(Tunnel& tunnel, const session::Path& path, absl::Span<const uint8_t> frame);
  void CookieReply(Tunnel& tunnel, absl::Span<const uint8_t> frame);
  Peer* PeerOfAttempt(Tunnel& tunnel, uint32_t index);
  void SendInitiation(Peer& peer, bool floor_answered = false);
  std::optional<protocol::Tai64n> TakeStamp(Peer& peer, bool floor_answered);
  void DropInitiator(Peer& peer);
  void AbandonAttempt(Peer& peer);
  protocol::Parameters OwnParameters(const Tunnel& tunnel) const;
  bool UnderLoad(Instant now);

  // slots.cc
  session::Session* MakeSession(Peer& peer, const handshake::SessionSecrets& secrets, Instant now);
  absl::Status StoreSession(session::Session& session, const handshake::SessionSecrets& secrets);
  void InstallInitiated(Peer& peer, session::Session& session, const session::Path& path);
  void ReportSession(const Peer& peer, const session::Path& path);
  void InstallResponded(Peer& peer, session::Session& session);
  void Confirm(Peer& peer, session::Session& session, const session::Path& path);
  void MakeCurrent(Peer& peer, session::Session* session, const session::Path& path);
  void SetSlot(session::Session* session, session::Slot slot);
  void ClassicEvent(Peer& peer, const dataplane::Event& event);
  void Retire(session::Session* session);
  void RetireAll(Peer& peer);
  void SavePeer(const Peer& peer);
  void SaveTraffic(Peer& peer, Instant now);
  void SetPeerMtu(Peer& peer, uint32_t mtu);
  uint32_t TakeIndex();
  void GiveIndex(uint32_t index, Instant now);
  void TakeOver(Tunnel& tunnel);
  void Resume(Peer& peer, StoredSession& stored);

  // endpoints.cc
  static session::Path PathOfNextTry(const Peer& peer);
  static bool FromBook(const Peer& peer, const Endpoint& remote);
  void TakeFromBook(Peer& peer);
  bool GiveUpEndpoint(Peer& peer, Instant now);

  // peer_state.cc
  void NotePeerState(Peer& peer, PeerState state);
  Instant TickLiveness(Peer& peer, Instant now);
  void SendEcho(Peer& peer, Instant now);

  // sending.cc
  void SendTo(Peer& peer, const session::Path& path, absl::Span<const uint8_t> frame);
  void UsePath(Peer& peer, const session::Path& path);

  // path_probing.cc
  void FollowPath(Peer& peer);
  void StartProber(Peer& peer, bool anew);
  void UpdateLimit(Peer& peer);
  void PathMtuChanged(const Peer& peer, uint32_t before);
  void PathHint(const dataplane::Event& event);
  void ProbeAnswered(Peer& peer, uint64_t id, uint32_t seen);
  Instant TickProber(Peer& peer, Instant now);
  void SendProbe(Peer& peer, const session::PathProbe& probe);

  // diagnosis.cc
  static Diagnosis WithoutAddress(const Peer& peer);
  Diagnosis Dead(const Peer& peer) const;
  static Diagnosis NoAnswer(const Peer& peer);

  // timers.cc
  // To be called whenever something may be due earlier than the last look at the peer said.
  void Wake(Peer& peer);
  // A handshake as soon as there is room for one more beginning: many at once would keep us, and
  // whoever answers them, from everything else.
  void StartLater(Peer& peer);
  // When the next initiation may go: not after `now`, or its turn among those that wait.
  Instant TakeTurn(Instant now);
  void CloseSession(Peer& peer);
  void SendKeepalive(Peer& peer);
  // Empty when the key may seal no more, which is counted.
  std::vector<uint8_t> SealUnder(session::Session& session, absl::Span<const uint8_t> plaintext);
  void SendUnder(session::Session& session, absl::Span<const uint8_t> plaintext);
  void ControlTlv(const dataplane::Event& event);
  void CloseReceived(Peer& peer, uint32_t session);
  void ExpireSessions(Peer& peer, Instant now);
  Instant TickPeer(Peer& peer, Instant now);
  // "No answer" of thousands of peers would drown the log. Null: not this one; else what to add.
  std::optional<std::string> MayReport(Instant now);
  Instant TickAttempt(Peer& peer, Instant now);

  void ReportRung(Tunnel& tunnel);
  absl::Status FillTunnel(Tunnel& tunnel, ipc::TunnelAdd& add);
  static void StartStamps(Peer& peer, const ipc::Floor& floor);
  // Known to nobody yet. `identity`: ours, null for none.
  absl::StatusOr<std::unique_ptr<Peer>> MakePeer(Tunnel& tunnel,
                                                 const handshake::Identity* identity,
                                                 config::Peer config, const ipc::PeerSetup& setup);
  // Makes a peer of the tunnel findable, or not any more.
  void Enrol(Tunnel& tunnel, Peer& peer);
  void Dismiss(Peer& peer);
  using ConfigOf = absl::FunctionRef<const config::Peer&(const Peer&)>;
  static absl::StatusOr<std::unique_ptr<dataplane::PeerMap>> MakePeerMap(
      absl::Span<Peer* const> peers, ConfigOf config_of);

  // change.cc
  struct Change;
  absl::Status Prepare(Tunnel& tunnel, ipc::TunnelChange& message, Change* change);
  absl::Status PreparePeers(Tunnel& tunnel, ipc::TunnelChange& message, Change* change);
  std::vector<std::unique_ptr<Peer>> PlacePeers(Tunnel& tunnel, Change* change);
  void LetGo(Tunnel& tunnel, std::vector<std::unique_ptr<Peer>> gone);
  void SwapPeerMap(Tunnel& tunnel, std::unique_ptr<dataplane::PeerMap> map);
  static void TakeOptions(Tunnel& tunnel, config::Tunnel options, uint32_t mtu);
  void RefitMtu(Tunnel& tunnel);
  void EndSessions(Peer& peer);
  void ChangePeer(Peer& peer, config::Peer config, const ipc::PeerSetup& setup, bool new_key);
  Peer* FindPeer(uint32_t tunnel, uint32_t peer);
  session::Session* FindSession(const Peer& peer, uint32_t local_index);

  const EngineOptions options_;
  const Clock& clock_;
  Rng& rng_;
  World& world_;
  SessionStore& store_;
  session::SessionTable sessions_;
  dataplane::EventQueue events_;
  std::vector<dataplane::Event> taken_;

  ClassicPeers classic_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<Tunnel>> tunnels_;
  absl::flat_hash_map<uint32_t, Peer*> peers_;
  DueList due_;
  Instant next_turn_{};  // see TakeTurn
  Instant report_second_{};
  int reports_ = 0;  // in that second
  uint64_t unreported_ = 0;
  Senders senders_;
  absl::flat_hash_map<uint32_t, Peer*> initiating_;   // by our index
  absl::flat_hash_set<uint32_t> indices_;             // in use or resting
  std::deque<std::pair<Instant, uint32_t>> resting_;  // not reused before
  LaneSlots lane_slots_{CIPE_MAX_LANE_SLOTS};
  uint64_t generation_ = 0;
  session::QuiescentDomain quiescent_;  // last of these: what it frees gives slots back

  handshake::CookieIssuer cookies_;
  handshake::RateLimiter rate_limiter_;
  Instant load_second_{};
  int load_count_ = 0;
  Instant loaded_until_{};
};

}  // namespace cipe::engine
