// The receive road of one worker: frames of a tunnel in, packets into the tunnel netdev out.
//
//   header -> session and lane -> replay pre-check -> AEAD open in place -> replay commit
//   -> endpoint learn -> source filter (allowed IPs) -> ECN -> coalesce -> one write per run
//
// A rejected frame changes nothing but a counter. Frames of protocol 3 go to ClassicRx.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "crypto/aead.h"
#include "dataplane/classic_rx.h"
#include "dataplane/event.h"
#include "dataplane/rx_frame.h"
#include "dataplane/tunnel_path.h"
#include "session/session_table.h"

namespace cipe::dataplane {

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
  void ReportEvent(EventType type, const Pending& pending, absl::Span<const uint8_t> data);

  session::SessionTable& sessions_;
  EventQueue& events_;
  std::vector<Pending> pending_;
  std::vector<OpenJob> jobs_;
  std::vector<Pending*> job_owners_;
  ClassicRx classic_;
  Event event_;
};

}  // namespace cipe::dataplane
