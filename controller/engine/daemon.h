// The engine at work: broker's messages in, control socket served, workers fed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/event_loop.h"
#include "base/rng.h"
#include "control/server.h"
#include "dataplane/data_plane.h"
#include "engine/engine.h"
#include "engine/event_feed.h"
#include "engine/map_session_store.h"
#include "engine/world.h"
#include "ipc/channel.h"
#include "ports/udp_socket.h"

namespace cipe::engine {

class Daemon final : public World {
 public:
  explicit Daemon(UniqueFd channel) : channel_(std::move(channel)) {}

  // Until the broker goes away; returns the exit code.
  int Run();

  // World, on the control thread.
  int Send(uint32_t tunnel, const session::Path& path, absl::Span<const uint8_t> frame) override;
  void SendStaged(uint32_t tunnel) override;
  void DropStaged(uint32_t tunnel, absl::Span<const session::PeerPath* const> peers) override;
  void Settle(uint32_t tunnel) override;
  void SaveFloor(uint32_t tunnel, uint32_t peer, const ipc::Floor& floor,
                 bool must_be_durable) override;
  void EndpointFailed(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint) override;
  void SmallestMtu(uint32_t tunnel, uint32_t mtu) override;
  void PathUsed(uint32_t tunnel, uint32_t peer, const session::Path& path) override;
  void AskPathMtu(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint) override;
  bool MayBePeer(const Endpoint& endpoint, uint16_t own_port) override;
  void ClassicPeer(uint32_t tunnel, const Endpoint& peer, const IpAddress& ptpaddr) override;
  void ClassicOver(uint32_t tunnel, const std::string& reason) override;
  void PeerConnected(uint32_t tunnel, uint32_t peer) override;
  void Report(const control::Event& event) override;

 private:
  // A client that waits for the first handshake after `up`.
  struct Waiter {
    std::string name;
    uint32_t tunnel = 0;
    control::Responder responder;
    TimerId timer = TimerId::kNone;
  };
  struct Pending {
    std::string name;
    bool up = false;
    bool wait = false;
    control::Responder responder;
    control::Json result;  // when not up
  };
  struct CarrierInfo {
    std::string name;
    uint32_t mtu = 0;
    uint32_t queues = 0;  // in use
    bool zero_copy = false;
    std::string reason;  // why none is in use, once that is known
    std::vector<std::unique_ptr<dataplane::XskQueue>> mapped;  // not bound yet
  };
  struct Reload {
    bool dry_run = false;
    control::Responder responder;
  };
  struct FloorRequest {
    uint32_t tunnel = 0;
    uint32_t peer = 0;
    ipc::Floor floor;
  };

  absl::Status Start();
  void ReadChannel();
  void Handle(ipc::Message message);
  void On(ipc::Hello& hello);
  void On(ipc::CarrierAdd& add);
  void On(ipc::CarrierReady& ready);
  void On(ipc::CarrierRemove& remove);
  void On(ipc::CarrierRenamed& renamed);
  void On(ipc::TunnelAdd& add);
  void On(ipc::TunnelRemove& remove);
  void On(ipc::TunnelChange& change);
  void On(ipc::ReloadAnswer& answer);
  void On(ipc::EndpointResolved& resolved);
  void On(ipc::SourceGone& gone);
  void On(ipc::DatapathChanged& changed);
  void On(ipc::Ping& ping);
  void On(ipc::Leave& leave);
  void Leave(int turns);
  void On(ipc::ClassicRelay& relay);
  void On(ipc::NextHop& hop);
  void On(ipc::Reply& reply);
  void On(ipc::PathMtuKnown& known) { engine_->PathMtuKnown(known); }
  void On(ipc::PathsChanged&) { engine_->PathsChanged(); }
  void Tell(ipc::Message message);

  absl::Status MovePort(ipc::TunnelChange& change);
  absl::Status SetUp(ipc::Hello& hello);
  void OnRequest(const control::Request& request, control::Responder responder);
  absl::Status CheckDirectories(const control::Request& request) const;
  void Show(const control::Request& request, control::Responder& responder);
  void ForgetClock(const control::Request& request, control::Responder responder);
  // daemon_reload.cc
  void AskReload(const control::Request& request, control::Responder responder);
  void FinishUp(Pending& pending, uint32_t tunnel);
  void CheckWaiters(uint32_t tunnel, bool timed_out);
  static bool Missing(const Peer& peer);
  static bool AnyMissing(const Tunnel& tunnel);
  std::string MissingPeers(const Tunnel& tunnel) const;
  // What a list of thousands of peers took goes back to the system (malloc_trim(3)).
  void TrimSoon();
  void Tick();
  void CheckSuspend();
  void TakeNetworkErrors();

  ipc::Channel channel_;
  SystemClock clock_;
  SystemRng rng_;
  std::string version_;
  std::string config_dir_, state_dir_;
  ports::RouteProbe route_probe_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd event_wake_;
  std::unique_ptr<MapSessionStore> store_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<dataplane::DataPlane> plane_;
  std::unique_ptr<control::ControlServer> server_;
  std::unique_ptr<EventFeed> feed_;
  absl::flat_hash_map<uint32_t, CarrierInfo> carriers_;
  absl::flat_hash_map<uint64_t, Pending> pending_;
  absl::flat_hash_map<uint64_t, FloorRequest> floors_;
  absl::flat_hash_map<uint64_t, Reload> reloads_;
  std::vector<std::unique_ptr<Waiter>> waiters_;
  uint64_t next_request_ = 1;
  TimerId tick_ = TimerId::kNone;
  TimerId trim_ = TimerId::kNone;
  Duration slept_{-1};  // in suspend since boot, as last seen; negative: not yet
  int exit_code_ = 0;
};

}  // namespace cipe::engine
