// The workers of this daemon and which descriptors each of them serves. Called by the control
// thread only; workers belong to the daemon, not to a tunnel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "dataplane/carrier_sink.h"
#include "dataplane/event.h"
#include "dataplane/rx_pipeline.h"
#include "dataplane/tun_writer.h"
#include "dataplane/tunnel_path.h"
#include "dataplane/tx_pipeline.h"
#include "dataplane/worker.h"
#include "dataplane/xsk_queue.h"

namespace cipe::dataplane {

struct TunnelPorts {
  TunnelPath* path = nullptr;  // outlives the tunnel's stay here
  std::vector<UniqueFd> tun;   // one per queue
  UniqueFd udp4, udp6;         // either may be invalid
  bool tso = false, uso = false;
  bool afxdp = false;  // send through AF_XDP
};

class DataPlane {
 public:
  // `next_hop_wanted` is called on a worker's thread.
  static absl::StatusOr<std::unique_ptr<DataPlane>> Create(
      const Clock& clock, session::SessionTable& sessions, session::QuiescentDomain& domain,
      EventQueue& events, std::function<void(uint32_t tunnel, const Endpoint&)> next_hop_wanted);
  ~DataPlane();

  absl::Status AddTunnel(TunnelPorts ports);
  // When it returns, no worker touches the tunnel or its peers; descriptors are closed.
  void RemoveTunnel(uint32_t tunnel);

  // Sends the tunnel's data through AF_XDP from now on, or no more.
  void SetAfxdp(uint32_t tunnel, bool afxdp);
  // Runs `done` on some worker's thread once every worker has made a turn.
  void AfterTurn(std::function<void()> done);

  // Takes over the AF_XDP sockets of a carrier; frames go to tunnels by destination port.
  void AddCarrier(uint32_t carrier, uint32_t mtu, std::vector<std::unique_ptr<XskQueue>> queues);
  void RemoveCarrier(uint32_t carrier);
  // `outer` without the tunnel's source port, which is filled in here.
  // `mtu`: of the path, octets.
  void SetNextHop(uint32_t carrier, const Endpoint& endpoint, uint32_t mtu,
                  const packet::OuterPath& outer);
  void ForgetNextHop(const Endpoint& endpoint);

  // Packets that waited for a session of this tunnel may go now; netdevs whose reading rested are
  // read again.
  void SendStaged(uint32_t tunnel);
  // Drops packets that wait for a session with one of these peers. When it returns, no worker keeps
  // a pointer to one that no map names any more beyond its turn.
  void DropStaged(uint32_t tunnel, absl::Span<const session::PeerPath* const> peers);
  // Waits until every worker that sends for the tunnel has sent what it sealed before.
  void Settle(uint32_t tunnel);
  // Control frames and keepalives, from the control thread's own port.
  // Returns 0, or the errno for which this host cannot send to that endpoint.
  int Send(uint32_t tunnel, const session::Path& path, absl::Span<const uint8_t> frame);
  // What the network said about frames sent (ICMP), newest last.
  std::vector<ports::UdpError> TakeErrors(uint32_t tunnel);

 private:
  struct RxWorker {
    std::unique_ptr<Worker> worker;
    std::unique_ptr<RxPipeline> pipeline;
    // By listening port; used on the worker's thread only.
    absl::flat_hash_map<uint16_t, std::pair<TunnelPath*, TunSink*>> by_port;
  };
  struct TxWorker {
    std::unique_ptr<Worker> worker;
    std::unique_ptr<TxPipeline> pipeline;
  };
  // Of one tunnel on one TX worker.
  struct Sender {
    TxWorker* worker = nullptr;
    std::unique_ptr<CarrierSink> sink;
    std::vector<std::unique_ptr<ports::TunPort>> tun;
    std::unique_ptr<uint8_t[]> buffer;
    std::vector<int> resting;  // netdev queues not read until SendStaged; worker's thread
  };
  struct Tunnel {
    TunnelPorts ports;
    std::atomic<bool> fragmenting4{false}, fragmenting6{false};  // ports::UdpPort::Options
    std::vector<std::unique_ptr<TunWriter>> writers;             // by RX worker
    std::unique_ptr<ports::UdpPort> receive4, receive6;
    std::vector<std::unique_ptr<Sender>> senders;
    std::unique_ptr<ports::UdpPort> control4, control6;
    RxWorker* socket_worker = nullptr;
    Instant ask_again_at{};               // its thread's: see HearTooBig
    Instant hint_at{};                    // the same: see HintPathMtu
    std::vector<ports::UdpError> errors;  // guarded by error_mutex
    std::mutex error_mutex;
  };
  struct Carrier {
    uint32_t mtu = 0;
    std::vector<std::unique_ptr<XskQueue>> queues;
    std::vector<RxWorker*> workers;  // by queue
  };

  DataPlane(const Clock& clock, EventQueue& events) : clock_(clock), events_(events) {}
  static ports::UdpPort::Options PortOptions(Tunnel& tunnel, Family family);
  void WatchSocket(Tunnel& tunnel, ports::UdpPort* port);
  bool ReceiveSocket(Tunnel& tunnel, ports::UdpPort& port, uint32_t events, Instant now);
  void TakeSocketErrors(Tunnel& tunnel, ports::UdpPort& port, Instant now);
  void ReportClassicError(Tunnel& tunnel, const std::vector<ports::UdpError>& errors);
  void HintPathMtu(Tunnel& tunnel, const ports::UdpError& error, Instant now);
  void HearTooBig(Tunnel& tunnel, const Endpoint& destination, Instant now);
  void StartSender(Tunnel& tunnel, TxWorker& worker, std::vector<size_t> queues);
  bool ReadTun(Tunnel& tunnel, Sender& sender, ports::TunPort& tun, Instant now);

  const Clock& clock_;
  EventQueue& events_;
  std::function<void(uint32_t, const Endpoint&)> next_hop_wanted_;
  std::vector<std::unique_ptr<RxWorker>> rx_;
  std::vector<std::unique_ptr<TxWorker>> tx_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<Tunnel>> tunnels_;
  absl::flat_hash_map<uint32_t, Carrier> carriers_;
};

}  // namespace cipe::dataplane
