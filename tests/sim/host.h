// A whole engine with its two roads on memory ports: what ciped is, without descriptors and
// threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "broker/floor_table.h"
#include "dataplane/rx_pipeline.h"
#include "dataplane/tx_pipeline.h"
#include "engine/engine.h"
#include "tests/sim/memory_store.h"
#include "tests/sim/network.h"

namespace cipe::sim {

class SeededRng final : public Rng {
 public:
  explicit SeededRng(uint64_t seed) : random_(seed) {}
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& o : out) o = static_cast<uint8_t>(random_());
  }

 private:
  std::mt19937_64 random_;
};

struct HostOptions {
  Endpoint at;                           // our UDP endpoint
  config::Tunnel config;                 // peers included
  std::vector<Endpoint> peer_endpoints;  // as config.peers; unset = unknown
  uint64_t seed = 1;
  int load_limit = 200;
  uint32_t mtu = 1420;
  // Protocol 3: made anew for every engine, since options hold secrets.
  std::function<config::ClassicOptions()> classic{};
};

// What outlives a crash of the engine, and of the host's process.
struct Disk {
  broker::Floors floors;
  protocol::NodeId node_id{};
};

class Host final : public engine::World, public dataplane::RunSink, public dataplane::TunSink {
 public:
  Host(HostOptions options, ManualClock& clock, Network& network);
  ~Host() override;

  // Sends an inner packet into the tunnel netdev.
  void Inject(std::vector<uint8_t> inner);
  // Runs what is due; returns when to run again.
  Instant Turn();
  // kill -9 of the engine, and the next one taking over from the store.
  void CrashEngine();
  // The whole daemon ends and starts again: only `disk` survives. Ends well, or by a power failure.
  void RestartDaemon();
  void LosePower();
  // `cipectl down`, the file becomes another one, `cipectl up` of that, under whatever name.
  void Reconfigure(config::Tunnel config, std::vector<Endpoint> peer_endpoints);
  void Reconfigure() { Reconfigure(CopyConfig(), options_.peer_endpoints); }
  // `cipectl reload`: who is in both keeps his id. An error is the engine's, nothing changes then.
  absl::Status Change(config::Tunnel config, std::vector<Endpoint> peer_endpoints);
  config::Tunnel CopyConfig() const;
  // Our address changes (NAT, roaming).
  void MoveTo(const Endpoint& at);
  // Frames to this address reach us, too; what we send to a peer comes from where it spoke to us.
  void AlsoAt(const Endpoint& at);

  engine::Engine& engine() { return *engine_; }
  engine::Tunnel& tunnel() { return *engine_->FindTunnel(kTunnel); }
  engine::Peer& peer(size_t i = 0) { return *tunnel().peers[i]; }
  dataplane::PeerMap const* peer_map() { return tunnel().path.peer_map.load(); }
  uint64_t Drops(int reason);
  uint64_t AllDrops();
  // What a next engine would start from.
  ipc::Floor Floor(size_t i = 0) const { return table_->Of(identities_[i]); }
  // What the file says was sent with the identity that talks to this peer.
  protocol::Tai64n SentOnDisk(size_t i = 0) const;
  bool connected(size_t i = 0) { return engine::Engine::Connected(peer(i)); }

  std::vector<std::vector<uint8_t>> delivered;  // inner packets, as they came out
  Disk disk;
  MemoryStore store;
  bool disk_works = true;
  Duration disk_latency{0};
  int writes = 0;                // of reservations
  int send_error = 0;            // errno of every control frame sent; 0: they go out
  std::vector<Endpoint> failed;  // as the broker was told
  std::function<void(const Endpoint&)> on_failed;            // what it does then
  std::vector<std::pair<Endpoint, IpAddress>> classic_told;  // as the broker was
  std::string classic_over;
  uint32_t smallest_mtu = 0;  // as the broker was told last
  std::vector<ipc::PathMtuWanted> paths_asked;
  std::vector<std::vector<uint8_t>> answered;  // inner packets that the host made itself (ICMP)

  // World
  int Send(uint32_t tunnel, const session::Path& path, absl::Span<const uint8_t> frame) override;
  void SendStaged(uint32_t tunnel) override;
  void DropStaged(uint32_t, absl::Span<const session::PeerPath* const> peers) override {
    tx_->DropStaged({peers.begin(), peers.end()});
  }
  void Settle(uint32_t) override {}  // one thread
  void SaveFloor(uint32_t tunnel, uint32_t peer, const ipc::Floor& floor, bool durable) override;
  void EndpointFailed(uint32_t, uint32_t, const Endpoint& endpoint) override {
    failed.push_back(endpoint);
    if (on_failed) on_failed(endpoint);
  }
  void SmallestMtu(uint32_t, uint32_t mtu) override { smallest_mtu = mtu; }
  void AskPathMtu(uint32_t, uint32_t peer, const Endpoint& endpoint) override {
    paths_asked.push_back({kTunnel, peer, endpoint});
  }
  void ClassicPeer(uint32_t, const Endpoint& peer, const IpAddress& ptpaddr) override {
    classic_told.push_back({peer, ptpaddr});
  }
  void ClassicOver(uint32_t, const std::string& reason) override { classic_over = reason; }
  void PeerConnected(uint32_t, uint32_t) override {}
  // RunSink
  dataplane::SendResult SendRun(const session::Path& path, const packet::OuterFields& fields,
                                const uint8_t* data, size_t total, size_t each) override;
  size_t MaxRun(Family, size_t) const override { return 64; }
  void AnswerInside(absl::Span<const uint8_t> packet) override {
    answered.emplace_back(packet.begin(), packet.end());
  }
  // TunSink
  Refused Write(absl::Span<const packet::PacketWrite> writes) override;
  packet::Coalescer& coalescer() override { return coalescer_; }

 private:
  static constexpr uint32_t kTunnel = 1;
  Endpoint From(const session::Path& path) const;
  void Start(bool takeover);
  void Receive(const Datagram& d);
  void Release();

  HostOptions options_;
  std::vector<Endpoint> also_at_;
  ManualClock& clock_;
  Network& network_;
  SeededRng rng_;
  packet::Coalescer coalescer_{{.tso = true, .uso = true, .max_packets = 512}};
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<dataplane::RxPipeline> rx_;
  std::unique_ptr<dataplane::TxPipeline> tx_;
  struct Asked {
    Instant due{};
    uint32_t peer = 0;
    ipc::Floor floor;
    uint64_t use = 0;
  };
  std::vector<Asked> asked_;  // of the disk, by the engine that runs
  std::unique_ptr<broker::FloorTable> table_;
  std::vector<broker::Identities> identities_;  // as config.peers
};

// Runs hosts and network together for `span` of simulated time.
void Run(ManualClock& clock, Network& network, std::vector<Host*> hosts, Duration span);

// A small UDP packet over IPv4 with right checksums; `tag` makes it findable.
std::vector<uint8_t> MakeInner(absl::string_view source, absl::string_view destination,
                               uint32_t tag, size_t payload = 32, uint8_t tos = 0);
uint32_t TagOf(const std::vector<uint8_t>& inner);

}  // namespace cipe::sim
