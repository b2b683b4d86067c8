// The receive road of one worker: frames of a tunnel in, packets into the tunnel netdev out.
//
//   header -> session and lane -> replay pre-check -> AEAD open in place -> replay commit
//   -> endpoint learn -> source filter (allowed IPs) -> ECN -> coalesce -> one write per run
//
// A rejected frame changes nothing but a counter.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "crypto/aead.h"
#include "dataplane/event.h"
#include "dataplane/tunnel_path.h"
#include "packet/coalescer.h"
#include "session/session_table.h"

namespace cipe::dataplane {

// A UDP payload in a buffer that stays valid and writable until Process returns.
struct RxFrame {
  uint8_t* data = nullptr;
  uint32_t size = 0;
  uint8_t ecn = 0;               // of the outer header, 2 bits
  const session::Path* path = nullptr;   // where it came from; many frames share one
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

class RxPipeline {
 public:
  static constexpr size_t kMaxBatch = 256;

  RxPipeline(session::SessionTable& sessions, EventQueue& events);

  // At most kMaxBatch frames, all from sockets or carriers of `tunnel`.
  void Process(TunnelPath& tunnel, TunSink& sink, absl::Span<const RxFrame> frames, Instant now);

 private:
  // A frame that passed the header checks.
  struct Pending {
    session::Session* session;
    const RxFrame* frame;
    uint64_t counter;
    uint32_t lane;
    bool fresh_greatest;
  };

  void ControlFrame(TunnelPath& tunnel, const RxFrame& frame);
  int ParseHeader(TunnelPath& tunnel, const RxFrame& frame, Instant now);
  // Opens pending frames [first, last), all of one lane; keeps the accepted ones in opened_.
  void OpenRun(size_t first, size_t last, Instant now);
  void Accept(const Pending& pending, uint32_t size, Instant now);
  void Learn(const Pending& pending);
  void Deliver(TunnelPath& tunnel, TunSink& sink, const Pending& pending, uint8_t* inner,
               uint32_t size);
  void WriteOut(TunnelPath& tunnel, TunSink& sink);
  void ReportEvent(EventType type, const Pending& pending, absl::Span<const uint8_t> data);

  session::SessionTable& sessions_;
  EventQueue& events_;
  std::vector<Pending> pending_;
  std::vector<OpenJob> jobs_;
  std::vector<Pending*> job_owners_;
  Event event_;
};

}  // namespace cipe::dataplane
