// The receive road of protocol 3:
//
//   [SOCKS header ->] length -> key flag -> CBC -> CRC -> type -> inner IPv4 -> ECN -> coalesce
//
// Data goes into the tunnel netdev; exchange and control blocks become events. A rejected packet
// changes nothing but a counter and, where the protocol says so, a report that a key is missing.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "classic/link.h"
#include "dataplane/event.h"
#include "dataplane/rx_frame.h"
#include "dataplane/tunnel_path.h"

namespace cipe::dataplane {

// Tells the control thread what Link reported (EventType::kClassicReport). `source`: of a packet
// that could not be opened and is long enough to be answered with a question; null or unset: none.
void PushReport(EventQueue& events, const ClassicPath& classic, const classic::LinkReport& report,
                const session::Path* source = nullptr);

class ClassicRx {
 public:
  explicit ClassicRx(EventQueue& events) : events_(events) {}

  // As RxPipeline::Process, for a tunnel that has `classic`. The caller writes out the coalescer
  // when it is done.
  void Process(TunnelPath& tunnel, TunSink& sink, absl::Span<const RxFrame> frames, Instant now);

 private:
  struct Source {
    session::Path path;  // the real peer; `local` unset behind SOCKS
    uint8_t ecn = 0;
  };

  bool Unwrap(const ClassicPath& classic, const RxFrame& frame);
  void OpenAll(TunnelPath& tunnel, TunSink& sink, Instant now);
  session::Path Unopened(const ClassicPath& classic) const;
  void TakeBare(TunnelPath& tunnel, TunSink& sink);
  void Deliver(TunnelPath& tunnel, TunSink& sink, const Source& source, uint8_t* inner,
               uint32_t size, classic::Under under);
  void Learn(const ClassicPath& classic, const Source& source, classic::Under under);
  void Count(session::PeerPath& peer, Instant now) const;
  void Push(EventType type, const ClassicPath& classic, const session::Path& path,
            classic::Under under, absl::Span<const uint8_t> data);

  EventQueue& events_;
  std::vector<classic::OpenJob> jobs_;
  std::vector<Source> sources_;  // of jobs_
  bool roam_reported_ = false;   // in this batch
  uint64_t packets_ = 0, octets_ = 0;
  Event event_;
};

}  // namespace cipe::dataplane
