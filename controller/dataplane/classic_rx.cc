#include "dataplane/classic_rx.h"

#include <algorithm>
#include <cstring>

#include "classic/block.h"
#include "classic/socks_header.h"
#include "packet/ecn.h"
#include "packet/ip_view.h"

namespace cipe::dataplane {

using classic::Under;

void ClassicRx::Push(EventType type, const ClassicPath& classic, const session::Path& path,
                     Under under, absl::Span<const uint8_t> data) {
  event_.type = type;
  event_.tunnel = classic.peer->tunnel;
  event_.peer = classic.peer->peer;
  event_.session = static_cast<uint32_t>(under);
  event_.path = path;
  event_.size = static_cast<uint16_t>(data.size());
  if (!data.empty()) std::memcpy(event_.data.data(), data.data(), data.size());
  if (!events_.Push(event_)) classic.peer->drops.Add(cipe_drop_rx_control_queue_full);
}

// Adds the frame to jobs_ and sources_, its SOCKS header taken off.
bool ClassicRx::Unwrap(const ClassicPath& classic, const RxFrame& frame) {
  if (!classic.socks) {
    jobs_.push_back({.data = frame.data, .size = frame.size});
    sources_.push_back({*frame.path, frame.ecn});
    return true;
  }
  if (!(frame.path->remote == classic.relay.Get().remote)) {
    classic.peer->drops.Add(cipe_drop_rx_classic_other_source);
    return false;
  }
  const auto peer = classic::ReadSocksHeader(absl::MakeConstSpan(frame.data, frame.size));
  if (!peer.has_value()) {
    classic.peer->drops.Add(cipe_drop_rx_classic_socks);
    return false;
  }
  jobs_.push_back({frame.data + classic::kSocksHeaderSize,
                   frame.size - static_cast<uint32_t>(classic::kSocksHeaderSize)});
  sources_.push_back({{*peer, {}}, frame.ecn});
  return true;
}

void ClassicRx::Process(TunnelPath& tunnel, TunSink& sink, absl::Span<const RxFrame> frames,
                        Instant now) {
  const ClassicPath& classic = *tunnel.classic;
  jobs_.clear();
  sources_.clear();
  roam_reported_ = false;
  packets_ = octets_ = 0;
  for (const RxFrame& frame : frames) Unwrap(classic, frame);
  if (classic.link == nullptr) {
    TakeBare(tunnel, sink);
  } else {
    OpenAll(tunnel, sink, now);
  }
  Count(*classic.peer, now);
}

void ClassicRx::OpenAll(TunnelPath& tunnel, TunSink& sink, Instant now) {
  const ClassicPath& classic = *tunnel.classic;
  classic::LinkReport report;
  classic.link->Open(absl::MakeSpan(jobs_), now, &report);
  bool opened = false;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const classic::OpenJob& job = jobs_[i];
    if (job.drop != 0) {
      classic.peer->drops.Add(job.drop);
      continue;
    }
    opened = true;
    if (job.packet.type == classic::PacketType::kData) {
      Deliver(tunnel, sink, sources_[i], job.packet.payload, job.packet.size, job.under);
    } else {
      const size_t size = std::min<size_t>(job.packet.size, kMaxEventData);
      Push(EventType::kClassicBlock, classic, sources_[i].path, job.under,
           absl::MakeConstSpan(job.packet.payload, size));
    }
  }
  if (opened) classic.peer->last_received.store(ToNanos(now), std::memory_order_relaxed);
  if (!report.any()) return;
  const session::Path unopened = Unopened(classic);
  PushReport(events_, classic, report, &unopened);
}

// Where a dynamic packet came from that no key opens; the peer's own address before any other.
// Shorter ones than our question are not answered: nobody shall make us send more than he did.
session::Path ClassicRx::Unopened(const ClassicPath& classic) const {
  session::Path found;
  const Endpoint peer = classic.peer->path.Get().remote;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const classic::OpenJob& job = jobs_[i];
    const bool closed = job.drop == cipe_drop_rx_classic_no_key ||
                        (job.drop == cipe_drop_rx_classic_crc && classic::HasKeyFlag(job.data));
    if (!closed || job.size < classic::SealedSize(classic::kLeastBlock)) continue;
    if (sources_[i].path.remote == peer) return sources_[i].path;
    if (!found.remote.is_set()) found = sources_[i].path;
  }
  return found;
}

// nokey: anybody can forge these, so that at least the source has to be the peer's.
void ClassicRx::TakeBare(TunnelPath& tunnel, TunSink& sink) {
  const ClassicPath& classic = *tunnel.classic;
  const Endpoint peer = classic.peer->path.Get().remote;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const bool from_peer = sources_[i].path.remote == peer;
    if (!from_peer && !classic.roam_any && classic.peer_known.load(std::memory_order_relaxed)) {
      classic.peer->drops.Add(cipe_drop_rx_classic_other_source);
      continue;
    }
    Deliver(tunnel, sink, sources_[i], jobs_[i].data, jobs_[i].size, Under::kNothing);
  }
}

void ClassicRx::Deliver(TunnelPath& tunnel, TunSink& sink, const Source& source, uint8_t* inner,
                        uint32_t size, Under under) {
  const ClassicPath& classic = *tunnel.classic;
  packet::IpView ip;
  // An all-zero packet has a valid CRC; here is where it ends.
  if (!packet::ParseIp(inner, size, &ip) || !ip.is_v4()) {
    classic.peer->drops.Add(cipe_drop_rx_classic_not_ipv4);
    return;
  }
  if (!packet::ApplyOuterEcn(inner, source.ecn)) {
    classic.peer->drops.Add(cipe_drop_rx_ecn_invalid);
    return;
  }
  Learn(classic, source, under);
  if (under != Under::kStatic && classic.want_inner.load(std::memory_order_relaxed) &&
      tunnel.classic->want_inner.exchange(false)) {
    Push(EventType::kClassicInner, classic, source.path, under,
         absl::MakeConstSpan(ip.source(), 4));
  }
  ++packets_;
  octets_ += ip.total;
  if (sink.coalescer().full()) WriteOut(tunnel, sink);
  sink.coalescer().Add(inner, ip);
}

// Blocks carry their path in their own event; this is for data.
void ClassicRx::Learn(const ClassicPath& classic, const Source& source, Under under) {
  if (roam_reported_ || classic.peer->path.Get() == source.path) return;
  const bool dynamic = under == Under::kDynamic || under == Under::kPrevious;
  if (!dynamic && !classic.roam_any && classic.peer_known.load(std::memory_order_relaxed)) return;
  roam_reported_ = true;
  Push(EventType::kClassicHeard, classic, source.path, under, {});
}

void ClassicRx::Count(session::PeerPath& peer, Instant now) const {
  if (packets_ == 0) return;
  peer.last_received.store(ToNanos(now), std::memory_order_relaxed);
  peer.last_data_received.store(ToNanos(now), std::memory_order_relaxed);
  peer.traffic.rx_packets.fetch_add(packets_, std::memory_order_relaxed);
  peer.traffic.rx_bytes.fetch_add(octets_, std::memory_order_relaxed);
}

void PushReport(EventQueue& events, const ClassicPath& classic, const classic::LinkReport& report,
                const session::Path* source) {
  Event event;
  event.type = EventType::kClassicReport;
  event.tunnel = classic.peer->tunnel;
  event.peer = classic.peer->peer;
  if (source != nullptr) event.path = *source;
  event.size = 1;
  event.data[0] = static_cast<uint8_t>((report.send_limit ? kReportSendLimit : 0) |
                                       (report.receive_limit ? kReportReceiveLimit : 0) |
                                       (report.no_key ? kReportNoKey : 0) |
                                       (report.bad_packets ? kReportBadPackets : 0));
  // A report that finds no room is made again within a second.
  events.Push(event);
}

void WriteOut(TunnelPath& tunnel, TunSink& sink) {
  if (sink.coalescer().packets() == 0) return;
  const auto refused = sink.Write(sink.coalescer().Finish());
  if (refused.full > 0) tunnel.drops.Add(cipe_drop_rx_tun_full, refused.full);
  if (refused.error > 0) tunnel.drops.Add(cipe_drop_rx_tun_error, refused.error);
}

}  // namespace cipe::dataplane
