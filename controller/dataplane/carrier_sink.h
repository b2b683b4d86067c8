// Where sealed runs of a tunnel leave: the UDP sockets (GSO), or AF_XDP when the rung says so and
// the next hop is known. Belongs to one TX worker.
#pragma once

#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "dataplane/tx_pipeline.h"
#include "dataplane/xsk_queue.h"
#include "packet/outer_header.h"
#include "ports/udp_port.h"

namespace cipe::dataplane {

// Outer addresses of frames to one endpoint through AF_XDP.
struct NextHop {
  XskQueue* queue = nullptr;
  uint32_t mtu = 0;  // of the path, as far as known; at most the carrier's
  packet::OuterPath outer;
};

class CarrierSink final : public RunSink {
 public:
  // Descriptors are borrowed; -1 where there is no socket of that family.
  CarrierSink(int udp4, int udp6, bool afxdp, const ports::UdpPort::Options& options4 = {},
              const ports::UdpPort::Options& options6 = {});

  SendResult SendRun(const session::Path& path, const packet::OuterFields& fields,
                     const uint8_t* data, size_t total, size_t each) override;
  size_t MaxRun(Family family, size_t each) const override;

  void AnswerInside(absl::Span<const uint8_t> packet) override;

  // The tunnel netdev that answers go to; borrowed.
  void SetInside(int tun) { inside_ = tun; }
  // Off: everything goes out by UDP; next hops are kept for when it is on again.
  void SetAfxdp(bool afxdp) { afxdp_ = afxdp; }
  // Called once per endpoint that AF_XDP has no next hop for; the run goes out by UDP meanwhile.
  void SetNextHopWanted(std::function<void(const Endpoint&)> wanted) {
    wanted_ = std::move(wanted);
  }
  void SetNextHop(const Endpoint& endpoint, const NextHop& hop);
  void ForgetNextHop(const Endpoint& endpoint);
  // Asks anew for a next hop that is known: the network says that something about it has changed.
  void AskAgain(const Endpoint& endpoint);
  void ForgetQueue(const XskQueue* queue);

 private:
  struct Prepared {
    NextHop hop;
    packet::OuterHeader header;
  };
  SendResult SendUdp(const session::Path& path, const packet::OuterFields& fields,
                     const uint8_t* data, size_t total, size_t each);
  SendResult SendXsk(Prepared& to, const packet::OuterFields& fields, const uint8_t* data,
                     size_t total, size_t each);
  // The largest UDP payload that may go through AF_XDP.
  static size_t Room(const Prepared& to);
  Prepared* FindNextHop(const Endpoint& endpoint);

  std::unique_ptr<ports::UdpPort> udp4_, udp6_;
  bool afxdp_;
  int inside_ = -1;
  uint16_t next_id_ = 0;  // of packets that may be fragmented
  std::function<void(const Endpoint&)> wanted_;
  absl::flat_hash_map<Endpoint, Prepared> hops_;
  absl::flat_hash_map<Endpoint, bool> asked_;
};

}  // namespace cipe::dataplane
