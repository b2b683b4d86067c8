// Joins in-order TCP and UDP packets that came out of the tunnel into superpackets for one write to
// the TUN each, as the kernel's GRO would (Documentation/networking/segmentation-offloads.rst):
// only headers are rewritten, payload stays where it is and is gathered with iovecs.
//
//   for (...) if (!joiner.Add(packet, view)) ...          // full: Finish, write, go on
//   tun.Write(joiner.Finish());
//
// Packets of one flow leave in the order they came; different flows may change places. A packet
// that cannot be joined, or whose checksum is wrong, is written alone and untouched. Several flows
// are gathered at once. Nothing is allocated after construction.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "packet/ip_view.h"
#include "packet/virtio_header.h"

namespace cipe::packet {

// One write to the TUN. iov[0] is the vnet header below, then come the packet and payload pieces.
struct PacketWrite {
  VnetHeader header{};
  const iovec* iov = nullptr;
  uint32_t iov_count = 0;
  uint32_t packets = 0;  // that came in
  uint32_t size = 0;     // octets of the packet, without the vnet header
};

class Coalescer {
 public:
  struct Options {
    bool tso = true;              // join TCP
    bool uso = false;             // join UDP; the TUN must have taken TUN_F_USO4|6
    uint32_t max_packets = 1024;  // per batch
  };
  static constexpr size_t kFlows = 16;            // gathered at once; then the oldest gives way
  static constexpr uint32_t kMaxTcpPieces = 512;  // per write; below IOV_MAX
  static constexpr uint32_t kMaxUdpPieces = 64;   // as the kernel's UDP_GRO_CNT_MAX

  explicit Coalescer(const Options& options);
  Coalescer(const Coalescer&) = delete;
  Coalescer& operator=(const Coalescer&) = delete;

  // Adds one IP packet that ParseIp accepted; only view.total octets of it are written. The buffer
  // may be changed (the first header of a run) and must stay until the writes are done. False: the
  // batch is full and the packet was not taken. After Finish, the first Add starts a new batch.
  bool Add(uint8_t* packet, const IpView& view);

  // The writes of this batch, valid until the next Add or Finish. Empty without packets.
  absl::Span<const PacketWrite> Finish();

  uint32_t packets() const { return finished_ ? 0 : count_; }
  bool full() const { return !finished_ && count_ == options_.max_packets; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Item {  // one packet
    uint8_t* packet;
    uint32_t next;  // in its run
    uint32_t total;
    uint32_t payload;  // offset
  };
  struct Run {    // one write to be
    IpView view;  // of the first packet
    uint32_t first = kNone;
    uint32_t last = kNone;
    uint32_t packets = 0;
    uint32_t total = 0;  // of the superpacket
    uint32_t header_size = 0;
    uint32_t segment = 0;  // payload of all but the last
    uint32_t next_sequence = 0;
    uint16_t last_id = 0;    // IPv4
    uint8_t tail_flags = 0;  // FIN, PSH of the last one
    bool fixed_id = false;
    bool verified = false;  // checksums of the first packet
  };
  struct FlowKey {
    std::array<uint64_t, 4> addresses{};
    uint32_t ports = 0;
    uint8_t protocol = 0;
    Family family = Family::kNone;
    friend bool operator==(const FlowKey&, const FlowKey&) = default;
  };
  struct Flow {
    uint32_t hash = 0;
    uint32_t run = kNone;  // the open one, kNone when the next packet must start one
    FlowKey key;
  };
  struct Candidate {  // what a packet would bring to a run
    IpView view;
    uint32_t header_size = 0;
    uint32_t payload_size = 0;
    bool joinable = false;  // may start or continue a run
  };
  enum class Join { kJoined, kNo, kBadChecksum };

  void Reset();
  Candidate Examine(const IpView& view) const;
  void AddToFlow(uint8_t* packet, const Candidate& c);
  uint32_t NewRun(uint8_t* packet, const Candidate& c);
  Join TryJoin(Run* run, uint8_t* packet, const Candidate& c);
  void Append(Run* run, uint8_t* packet, const Candidate& c);
  Flow* FindFlow(const FlowKey& key, uint32_t hash);
  Flow* TakeFlow(const FlowKey& key, uint32_t hash);
  void CloseFlowsBetween(const IpView& view);
  void Emit(const Run& run, PacketWrite* write, iovec* iov) const;

  static bool IpFits(const Run& run, const Candidate& c, bool* fixed_id);
  static bool TcpFits(const Run& run, const Candidate& c);
  static bool EndsRun(const Run& run, const Candidate& c);
  static void RewriteFirst(const Run& run, uint8_t* packet, VnetHeader* header);
  static FlowKey KeyOf(const IpView& view);
  static uint32_t HashOf(const FlowKey& key);

  Options options_;
  uint32_t count_ = 0;
  uint32_t runs_used_ = 0;
  bool finished_ = false;
  size_t flows_used_ = 0;
  size_t oldest_flow_ = 0;  // gives way next once all are used
  std::array<Flow, kFlows> flows_{};
  std::unique_ptr<Item[]> items_;
  std::unique_ptr<Run[]> runs_;
  std::unique_ptr<PacketWrite[]> writes_;
  std::unique_ptr<iovec[]> iov_;
};

}  // namespace cipe::packet
