// What goes into the receive roads and what they write to.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "dataplane/tunnel_path.h"
#include "packet/coalescer.h"
#include "session/peer_path.h"

namespace cipe::dataplane {

// A UDP payload in a buffer that stays valid and writable until Process returns.
struct RxFrame {
  uint8_t* data = nullptr;
  uint32_t size = 0;
  uint8_t ecn = 0;                      // of the outer header, 2 bits
  const session::Path* path = nullptr;  // where it came from; many frames share one
};

// The tunnel netdev, as the receive road sees it. The in-memory one lives beside the simulation.
class TunSink {
 public:
  virtual ~TunSink() = default;
  // Takes every write; returns how many inner packets were refused, by reason.
  struct Refused {
    uint32_t full = 0;
    uint32_t error = 0;
  };
  virtual Refused Write(absl::Span<const packet::PacketWrite> writes) = 0;
  // Gathers what one Process delivers; joins what this netdev takes joined.
  virtual packet::Coalescer& coalescer() = 0;
};

// Writes what the coalescer of `sink` holds, and counts what the netdev refused.
void WriteOut(TunnelPath& tunnel, TunSink& sink);

}  // namespace cipe::dataplane
