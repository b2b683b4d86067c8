#include "dataplane/rx_pipeline.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/ecn.h"
#include "packet/ip_view.h"
#include "packet/mss_clamp.h"
#include "protocol/constants.h"

namespace cipe::dataplane {

using session::ReceiveLane;
using session::Session;
using session::Slot;

RxPipeline::RxPipeline(session::SessionTable& sessions, EventQueue& events)
    : sessions_(sessions), events_(events), classic_(events) {
  pending_.reserve(kMaxBatch);
  jobs_.reserve(kMaxBatch);
  job_owners_.reserve(kMaxBatch);
}

void RxPipeline::ControlFrame(TunnelPath& tunnel, const RxFrame& frame) {
  if (frame.size > kMaxEventData) {
    tunnel.drops.Add(cipe_drop_hs_bad_length);
    return;
  }
  event_.type = EventType::kControlFrame;
  event_.tunnel = tunnel.tunnel;
  event_.path = *frame.path;
  event_.size = static_cast<uint16_t>(frame.size);
  std::memcpy(event_.data.data(), frame.data, frame.size);
  if (!events_.Push(event_)) tunnel.drops.Add(cipe_drop_rx_control_queue_full);
}

// 0, or why the frame is no data frame of a session here.
int RxPipeline::ParseHeader(TunnelPath& tunnel, const RxFrame& frame, Instant now) {
  if (frame.size < protocol::kDataOverhead) return cipe_drop_rx_truncated;
  if ((LoadLe32(frame.data) >> 8) != 0) return cipe_drop_rx_reserved_bits;
  const uint32_t index = LoadLe32(frame.data + 4);
  Session* session = sessions_.Find(index);
  if (session == nullptr) return cipe_drop_rx_unknown_session;
  if (session->path().tunnel != tunnel.tunnel) return cipe_drop_rx_wrong_listener;
  const uint32_t lane = index & protocol::kLaneMask;
  if (lane >= static_cast<uint32_t>(session->receive_lanes())) return cipe_drop_rx_unknown_lane;
  if (session->Expired(now)) return cipe_drop_rx_expired_session;
  pending_.push_back({session, &frame, LoadLe64(frame.data + 8), lane, false});
  return 0;
}

void RxPipeline::Process(TunnelPath& tunnel, TunSink& sink, absl::Span<const RxFrame> frames,
                         Instant now) {
  if (tunnel.classic != nullptr) {
    classic_.Process(tunnel, sink, frames, now);
    return WriteOut(tunnel, sink);
  }
  pending_.clear();
  for (const RxFrame& frame : frames) {
    const uint8_t type = frame.size == 0 ? 0 : frame.data[0];
    if (type >= protocol::kTypeInitiation && type <= protocol::kTypeCookieReply) {
      ControlFrame(tunnel, frame);
    } else if (type != protocol::kTypeData) {
      tunnel.drops.Add(cipe_drop_rx_unknown_type);
    } else if (const int reason = ParseHeader(tunnel, frame, now); reason != 0) {
      tunnel.drops.Add(reason);
    }
  }
  for (size_t first = 0; first < pending_.size();) {
    size_t last = first + 1;
    while (last < pending_.size() && pending_[last].session == pending_[first].session &&
           pending_[last].lane == pending_[first].lane) {
      ++last;
    }
    OpenRun(first, last, now);
    for (size_t i = 0; i < jobs_.size(); ++i) {
      if (jobs_[i].ok) Deliver(tunnel, sink, *job_owners_[i], jobs_[i].data, jobs_[i].size);
    }
    first = last;
  }
  WriteOut(tunnel, sink);
}

void RxPipeline::OpenRun(size_t first, size_t last, Instant now) {
  Session& session = *pending_[first].session;
  session::PeerPath& peer = session.path();
  ReceiveLane& lane = session.receive_lane(static_cast<int>(pending_[first].lane));
  jobs_.clear();
  job_owners_.clear();
  const auto count_replay = [&](ReplayVerdict verdict) {
    peer.drops.Add(verdict == ReplayVerdict::kTooOld ? cipe_drop_rx_too_old
                                                     : cipe_drop_rx_replayed);
  };
  const uint64_t stop = session::KeyLimits::For(session.setup().suite).stop_packets;
  uint64_t opened = 0, packets = 0, octets = 0;  // packets and octets: of inner packets
  Pending* newest = nullptr;
  {
    std::lock_guard guard(lane.lock);
    for (size_t i = first; i < last; ++i) {
      Pending& p = pending_[i];
      if (p.counter >= stop) {
        peer.drops.Add(cipe_drop_rx_counter_limit);
        continue;
      }
      const ReplayVerdict verdict = lane.window.Check(p.counter);
      if (verdict != ReplayVerdict::kFresh) {
        count_replay(verdict);
        continue;
      }
      jobs_.push_back({p.counter, p.frame->data, p.frame->data + protocol::kDataHeaderSize,
                       p.frame->size - static_cast<uint32_t>(protocol::kDataOverhead), false});
      job_owners_.push_back(&p);
    }
    lane.key->OpenBatch(absl::MakeSpan(jobs_));
    for (size_t i = 0; i < jobs_.size(); ++i) {
      OpenJob& job = jobs_[i];
      Pending& p = *job_owners_[i];
      if (!job.ok) {
        peer.drops.Add(cipe_drop_rx_bad_tag);
        continue;
      }
      // The same counter may stand twice in one batch; only the commit decides.
      const ReplayVerdict verdict = lane.window.Commit(p.counter);
      if (verdict != ReplayVerdict::kFresh) {
        count_replay(verdict);
        job.ok = false;
        continue;
      }
      if (p.counter + 1 > lane.greatest()) newest = &p;
      lane.NoteAccepted(p.counter);
      ++opened;
      if (job.size != 0 && job.data[0] != 0) {
        ++packets;
        octets += job.size;
      }
    }
    if (newest != nullptr) lane.Publish();
  }
  if (opened == 0) return;
  peer.last_received.store(ToNanos(now), std::memory_order_relaxed);
  if (packets > 0) {
    peer.last_data_received.store(ToNanos(now), std::memory_order_relaxed);
    peer.traffic.rx_packets.fetch_add(packets, std::memory_order_relaxed);
    peer.traffic.rx_bytes.fetch_add(octets, std::memory_order_relaxed);
  }
  if (newest != nullptr) Learn(*newest);
}

// `pending` is authenticated and above all accepted before on its lane.
void RxPipeline::Learn(const Pending& pending) {
  Session& session = *pending.session;
  const Slot slot = session.slot.load(std::memory_order_acquire);
  if (!session.confirmed.load(std::memory_order_relaxed)) {
    if (!session.confirm_reported.exchange(true)) ReportEvent(EventType::kConfirmed, pending, {});
    return;
  }
  if (slot != Slot::kCurrent) return;
  if (session.path().path.Get() != *pending.frame->path) {
    ReportEvent(EventType::kRoamed, pending, {});
  }
}

void RxPipeline::Deliver(TunnelPath& tunnel, TunSink& sink, const Pending& pending, uint8_t* inner,
                         uint32_t size) {
  session::PeerPath& peer = pending.session->path();
  if (size == 0) return;  // keepalive
  if (inner[0] == 0) {
    event_.plaintext_size = static_cast<uint16_t>(size);
    ReportEvent(EventType::kControlTlv, pending,
                absl::MakeConstSpan(inner, std::min<size_t>(size, kMaxEventData)));
    return;
  }
  packet::IpView ip;
  if (!packet::ParseIp(inner, size, &ip)) {
    peer.drops.Add(cipe_drop_rx_bad_inner);
    return;
  }
  const PeerMap* map = tunnel.peer_map.load(std::memory_order_acquire);
  if (map == nullptr || map->Find(ip.is_v4(), ip.source()) != &peer) {
    peer.drops.Add(cipe_drop_rx_source_not_allowed);
    return;
  }
  if (!packet::ApplyOuterEcn(inner, pending.frame->ecn)) {
    peer.drops.Add(cipe_drop_rx_ecn_invalid);
    return;
  }
  if (packet::IsTcpSyn(ip) && tunnel.mss_clamp.load(std::memory_order_relaxed)) {
    packet::ClampMss(inner, ip, peer.limit.load(std::memory_order_relaxed));
  }
  if (sink.coalescer().full()) WriteOut(tunnel, sink);
  sink.coalescer().Add(inner, ip);
}

void RxPipeline::ReportEvent(EventType type, const Pending& pending,
                             absl::Span<const uint8_t> data) {
  event_.type = type;
  event_.tunnel = pending.session->path().tunnel;
  event_.peer = pending.session->path().peer;
  event_.session = pending.session->setup().local_index;
  event_.path = *pending.frame->path;
  event_.size = static_cast<uint16_t>(data.size());
  if (!data.empty()) std::memcpy(event_.data.data(), data.data(), data.size());
  if (!events_.Push(event_)) {
    pending.session->path().drops.Add(cipe_drop_rx_control_queue_full);
    // The next frame tries again.
    if (type == EventType::kConfirmed) pending.session->confirm_reported = false;
  }
}

}  // namespace cipe::dataplane
