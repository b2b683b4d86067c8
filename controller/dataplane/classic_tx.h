// The transmit road of protocol 3: segments in, runs of sealed packets out.
//
//   IPv4 segment -> laid out in clear in the buffer -> ... -> all of them encrypted side by side
//   -> one send per run of equal sizes and outer fields
//
// Without a sending key packets wait, at most kMostStaged of them for each tunnel.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "classic/cipher.h"
#include "crypto/stream_rng.h"
#include "dataplane/event.h"
#include "dataplane/run_sink.h"
#include "dataplane/tunnel_path.h"

namespace cipe::dataplane {

class ClassicTx {
 public:
  static constexpr size_t kMostStaged = 64;

  explicit ClassicTx(EventQueue& events);

  // One packet read from the netdev of `tunnel`; sent by Flush, or before when the buffer is full.
  void Add(TunnelPath& tunnel, RunSink& sink, const uint8_t* data, uint32_t size, Instant now);
  void Flush(Instant now);

  void FlushStaged(TunnelPath& tunnel, RunSink& sink, Instant now);
  void DropStaged(const TunnelPath& tunnel);
  // Whether reading more packets of this tunnel should wait for the sending key, which is expected
  // within a round trip.
  bool ShouldPause(const TunnelPath& tunnel, Instant now) const;

 private:
  // One packet in the buffer.
  struct Slot {
    uint32_t offset = 0;  // of the datagram, SOCKS header included
    uint32_t size = 0;    // of the datagram
    uint32_t inner_size = 0;
    packet::OuterFields fields;
  };
  struct Staged {
    TunnelPath* tunnel;
    Instant since;
    bool was_in_buffer;  // does not count for kMostStaged
    std::vector<uint8_t> packet;
  };

  void Append(TunnelPath& tunnel, RunSink& sink, const uint8_t* data, uint32_t size, Instant now);
  bool SealAll(Instant now);
  void SendAll(const session::Path& path, Instant now);
  size_t RunFrom(size_t first, Family family) const;
  void StageAll(Instant now);
  void Stage(TunnelPath& tunnel, const uint8_t* data, uint32_t size, bool was_in_buffer,
             Instant now);
  uint32_t HeaderSize() const;

  EventQueue& events_;
  StreamRng rng_;
  std::unique_ptr<uint8_t[]> buffer_;
  size_t used_ = 0;
  std::vector<Slot> slots_;
  std::vector<classic::CbcPacket> packets_;
  TunnelPath* tunnel_ = nullptr;  // of what is in the buffer
  RunSink* sink_ = nullptr;
  std::deque<Staged> staged_;
};

}  // namespace cipe::dataplane
