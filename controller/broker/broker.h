// The privileged process: holds every resource, does what its engine asks for after checking it
// against the configuration files, and hands the next engine everything when one dies.
//
// Belongs to one thread, the loop's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "broker/carrier_table.h"
#include "broker/classic_links.h"
#include "broker/endpoint_book.h"
#include "broker/floor_table.h"
#include "broker/floor_writer.h"
#include "broker/handover.h"
#include "broker/listeners.h"
#include "broker/next_hops.h"
#include "broker/reload.h"
#include "broker/resolver.h"
#include "broker/route_book.h"
#include "broker/source_watch.h"
#include "broker/state_dir.h"
#include "broker/supervisor.h"
#include "broker/tunnel.h"
#include "broker/tunnel_hooks.h"
#include "crypto/secret.h"
#include "netlink/monitor.h"
#include "netlink/socket.h"
#include "steering/maps.h"

namespace cipe::broker {

struct BrokerOptions {
  std::string config_dir;  // both absolute
  std::string state_dir;
  std::string links_dir;  // options files of protocol 3 links (classic_links.h)
  std::string version;
  uint32_t starter_uid = 0;
  bool socket_unit = false;  // the control socket is a socket unit's
  bool hook_units = false;   // scripts run as transient units (hook.h)
  // How long an engine may take to let go of a tunnel before it is ended.
  Duration removal_patience = std::chrono::seconds(5);
  // When set: no tunnel is up or wanted, and none was for a while. Runs on the loop.
  std::function<void()> on_idle;
  // When set: the engine answered, each of its workers among them. Every two seconds while it does.
  std::function<void()> on_alive;
  Duration first_request_patience = std::chrono::seconds(10);      // after the start
  Duration last_answer_patience = std::chrono::milliseconds(500);  // so that answers get out
};

class Broker {
 public:
  // Makes maps, netlink sockets and the state directory; nothing is visible on the network yet.
  // `control_listener` is lent to every engine. `on_ready` runs once the first engine serves it and
  // the tunnels of the last run are up again. `loop` must outlive the broker. With `from` it goes
  // on where another daemon left off; once it has maps and state directory that cannot fail any
  // more: a tunnel that cannot be taken over is logged and, being wanted, brought up anew.
  static absl::StatusOr<std::unique_ptr<Broker>> Create(EventLoop& loop, BrokerOptions options,
                                                        UniqueFd control_listener,
                                                        EngineSpawner spawn,
                                                        std::function<void()> on_ready,
                                                        std::optional<Handover> from = {});
  // Everything is removed; wanted tunnels stay wanted for the next start. Turns the loop until
  // their scripts have ended.
  ~Broker();
  // While the broker is destroyed, on the loop: scripts are cut off.
  void Hurry();

  // Starts the first engine.
  absl::Status Start();
  // Takes all tunnels down, which tells their peers, and runs `stopped` then, or after a second at
  // the latest. They stay wanted. To be called once.
  void Stop(std::function<void()> stopped);

  // Lets go of everything for another daemon: ends the engine, which keeps the sessions, and calls
  // `give` with all there is. When that succeeds nothing here is ours any more, and this process
  // must end without running a destructor; otherwise the broker goes on. Refused
  // (FailedPrecondition or what the disk says, to `failed`) when it is stopping or floors cannot be
  // saved. `runtime_lock` is borrowed.
  using Give = std::function<absl::Status(const PackedHandover&)>;
  void HandOver(int runtime_lock, Give give, std::function<void(absl::Status)> failed);

  size_t tunnels() const { return tunnels_.size(); }
  pid_t engine_pid() const { return supervisor_->pid(); }

 private:
  struct Removal {
    std::vector<uint64_t> requests;
    TimerId timer = TimerId::kNone;
    bool remake = false;  // to come up again at once
  };
  using TunnelMap = std::map<ipc::TunnelId, std::unique_ptr<Tunnel>>;

  Broker(EventLoop& loop, BrokerOptions options, UniqueFd control_listener,
         std::function<void()> on_ready, steering::MapSet maps, netlink::Socket socket,
         netlink::Monitor monitor, StateDir state, Floors floors);
  void Tell(ipc::Message message);
  void Answer(uint64_t request, const absl::Status& status, ipc::TunnelId tunnel = 0);

  // Supervisor's hooks.
  void OnEngineStart(bool takeover);
  void OnEngineDeath();
  void OnMessage(ipc::Message message);
  ipc::Hello MakeHello(bool takeover);
  void LookAtNarrow();

  void Handle(const ipc::Ready& m);
  void Handle(const ipc::UpRequest& m);
  void Handle(const ipc::DownRequest& m);
  void Handle(const ipc::TunnelRemoved& m);
  void Handle(const ipc::FloorUpdate& m);
  void Handle(const ipc::NextHopWanted& m);
  void Handle(const ipc::EndpointFailed& m);
  void Handle(const ipc::SmallestMtu& m);
  void Handle(const ipc::PathUsed& m);
  void Handle(const ipc::ClassicPeer& m);
  void Handle(const ipc::ClassicOver& m);
  void Handle(const ipc::PathMtuWanted& m);
  void Handle(const ipc::ReloadRequest& m);
  void Handle(const ipc::TunnelChanged& m);
  void Handle(const ipc::CarrierMapped& m) { carriers_->OnMapped(m); }
  template <typename T>
  void Handle(const T&) {
    supervisor_->Kill("it sent a message that only the broker sends");
  }

  // Lifecycle of tunnels.
  // requests.cc: `done` may run before these return, or once hooks have ended. `strict`: a PostUp
  // that fails takes the tunnel down again.
  using UpDone = std::function<void(absl::StatusOr<ipc::TunnelId>)>;
  void Up(const std::string& name, bool strict, UpDone done);
  void Raise(std::shared_ptr<const config::Tunnel> config, bool strict, UpDone done);
  void Lower(ipc::TunnelId id, uint64_t request);
  absl::StatusOr<ipc::TunnelId> BringUp(config::Tunnel config);
  // Requests added to it are answered when the tunnel is gone.
  Removal& BeginRemoval(ipc::TunnelId id);
  absl::Status UpAlready(const Tunnel& tunnel) const;
  absl::Status SetUpPeers(Tunnel* tunnel);
  ipc::PeerSetup SetUpPeer(const config::Tunnel& config, const Identities& who);
  void FinishRemoval(ipc::TunnelId id);
  void WipeSessions(ipc::TunnelId id);
  void SyncListeners();
  ipc::TunnelAdd Describe(const Tunnel& tunnel, bool takeover) const;
  absl::Status AddWanted(const std::string& name);
  absl::Status RemoveWanted(const std::string& name);
  void BringBackWanted();
  void BringBack(const std::string& name, Duration pause, const std::string& trouble);
  Tunnel* ByName(const std::string& name);
  Tunnel* ById(ipc::TunnelId id);

  // broker_endpoints.cc
  std::unique_ptr<EndpointBook> MakeEndpointBook();
  absl::Status CheckPeerEndpoint(ipc::TunnelId tunnel, ipc::PeerId peer, const Endpoint& endpoint);
  bool Reachable(ipc::TunnelId tunnel, const Endpoint& endpoint);
  void OnEndpoint(ipc::TunnelId tunnel, ipc::PeerId peer, const Endpoint& endpoint,
                  const std::string& trouble);

  void OnNetworkChange();
  // broker_network.cc: notes what the event may have taken from our routes; puts that back.
  void NoteRoutes(const netlink::Event& event);
  bool IsInTheWay(const netlink::Route& theirs) const;
  void RestoreRoutes();

  // broker_handover.cc
  absl::Status TakeOver(Handover from);
  void TakeOverTunnel(TunnelHandover from);
  Handover DescribeAll(int runtime_lock) const;
  absl::Status GiveAll(int runtime_lock, const Give& give) const;
  void ResumeAfterHandover();
  void SettleSoon();
  // reload.cc
  void NextReload();
  absl::StatusOr<std::unique_ptr<Reload>> PlanReload(const std::string& name);
  absl::Status ExchangeAll(Reload* reload);
  void CommitStep(ReloadStep* step);
  void PlacePeers(const ReloadStep& step, Leaving* leaving);
  void ReleaseLeaving(const Leaving& leaving);
  void ReleaseAllLeaving(ipc::TunnelId id);
  void EndReloadWhenTaken();
  void ForgetReloads();
  void AnswerReload(uint64_t request, const absl::Status& status, const std::string& plan);
  const Identities* WhoIs(ipc::TunnelId id, ipc::PeerId peer);

  // remake.cc
  void OnLinkGone(int ifindex);
  void Remake(std::shared_ptr<const config::Tunnel> config);
  bool IsWanted(const std::string& name) const;
  // broker_network.cc: what a change of the network or of an endpoint means for tunnels that are
  // up. RevisitDatapath returns whether to look again a while later.
  bool RevisitDatapath(Tunnel& tunnel);
  void RevisitDatapaths();
  // broker_carriers.cc: sockets of carriers come up, and what tunnels make of it.
  void OfferCarriers();
  void OnCarrierSettled(ipc::CarrierId carrier);
  void TellDatapath(const Tunnel& tunnel);
  void WhenSettled(ipc::TunnelId id, std::function<void()> then);
  void RunSettled(ipc::TunnelId id);
  bool EndsNow() const;
  void EndUnlessNeeded(Duration patience);

  EventLoop& loop_;
  const BrokerOptions options_;
  UniqueFd control_listener_;
  std::function<void()> on_ready_;
  steering::MapSet maps_;
  netlink::Socket socket_;
  netlink::Monitor monitor_;
  StateDir state_;
  FloorTable floors_;
  std::unique_ptr<FloorWriter> floor_writer_;
  uint64_t engines_ = 0;  // how many died: answers to one must not reach the next
  Secret<32> seal_key_;
  std::array<uint8_t, 16> node_id_{};
  std::unique_ptr<CarrierTable> carriers_;
  std::unique_ptr<RouteBook> routes_;
  Listeners listeners_;
  TunnelHooks hooks_;
  std::unique_ptr<NextHops> next_hops_;
  std::unique_ptr<SourceWatch> sources_;
  std::unique_ptr<ClassicLinks> classic_;
  TunnelMap tunnels_;
  std::map<ipc::TunnelId, Removal> removals_;
  std::map<std::string, std::vector<UpDone>> raising_;  // their PreUp or PostUp runs
  // Who waits for carriers to settle, by tunnel.
  std::map<ipc::TunnelId, std::vector<std::function<void()>>> settling_;
  std::map<ipc::TunnelId, std::vector<uint64_t>> lowering_;  // their PreDown runs; requests
  std::vector<std::string> wanted_;
  std::map<std::string, ipc::PeerId> peer_ids_;  // "tunnel/identity": the same again after down
  std::deque<ipc::ReloadRequest> reloads_asked_;
  std::unique_ptr<Reload> reload_;  // the one under way
  uint64_t change_number_ = 0;
  std::map<ipc::TunnelId, std::vector<Leaving>> leaving_;  // by changes not yet taken, oldest first
  ipc::TunnelId next_tunnel_ = 1;
  ipc::PeerId next_peer_ = 1;
  TimerId settle_timer_ = TimerId::kNone;
  TimerId narrow_timer_ = TimerId::kNone;
  TimerId stop_timer_ = TimerId::kNone;
  std::function<void()> stopped_;                 // set once stopping
  std::map<std::string, TimerId> remake_timers_;  // by tunnel: its next try to come back
  TimerId calm_timer_ = TimerId::kNone;   // a tunnel moved a moment ago and wants to move again
  TimerId truce_timer_ = TimerId::kNone;  // somebody fights with us over routes
  bool routes_changed_ = false;           // something that is ours may be gone, since the last look
  bool paths_changed_ = false;            // links, addresses or routes, since the last look
  TimerId idle_timer_ = TimerId::kNone;
  bool ready_ = false;
  bool handing_over_ = false;
  bool disowned_ = false;  // what is here is still another daemon's: nothing may be taken away
  bool ending_ = false;    // what the last engine says about floors still counts, nothing else
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<EndpointBook> endpoints_;
  std::unique_ptr<Resolver> resolver_;  // before the book it goes: what it answers goes there
};

}  // namespace cipe::broker
