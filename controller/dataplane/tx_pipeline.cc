#include "dataplane/tx_pipeline.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/bytes.h"
#include "packet/ecn.h"
#include "packet/ip_view.h"
#include "packet/mss_clamp.h"
#include "protocol/constants.h"

namespace cipe::dataplane {
namespace {

using namespace std::chrono_literals;
using session::PeerPath;
using session::Session;

constexpr size_t kRunBuffer = 1 << 16;
// Packets that wait for a first handshake: enough for the start of every flow, bounded for a storm.
constexpr size_t kMaxStagedPerWorker = 1024;
constexpr size_t kMaxStagedPerPeer = 128;
constexpr size_t kMaxStagedBytes = 2 << 20;
constexpr auto kStagedLifetime = 15s;

// An outer packet of this tunnel that routes have brought back: sealed again it would go round in a
// circle and grow until it is split, and then be two. Of its fragments the first is enough to end
// it.
bool IsOwnFrame(const packet::IpView& ip, const TunnelPath& tunnel, const PeerPath& peer) {
  if (ip.protocol != IPPROTO_UDP || ip.l4_size() < packet::kUdpHeaderSize ||
      LoadBe16(ip.l4()) != tunnel.listen_port) {
    return false;
  }
  const Endpoint remote = peer.path.Get().remote;
  return remote.port == LoadBe16(ip.l4() + 2) && remote.address == ip.destination_address();
}

// The outer traffic class: ECN as RFC 6040 has it, DSCP as configured.
uint8_t TosFor(const TunnelPath& tunnel, const uint8_t* packet) {
  return static_cast<uint8_t>(
      (packet::TrafficClassOf(packet) & tunnel.tos_mask.load(std::memory_order_relaxed)) |
      tunnel.tos_value.load(std::memory_order_relaxed));
}

}  // namespace

TxPipeline::TxPipeline(EventQueue& events)
    : events_(events), run_(std::make_unique<uint8_t[]>(kRunBuffer)), classic_(events) {}

void TxPipeline::Process(TunnelPath& tunnel, RunSink& sink, const packet::VnetHeader& header,
                         uint8_t* packet, size_t size, Instant now) {
  if (!segmenter_.Start(header, packet, size)) {
    tunnel.drops.Add(cipe_drop_tx_bad_inner);
    return;
  }
  answers_.NewPacket();
  packet::Segment segment;
  while (segmenter_.Next(&segment)) Segment(tunnel, sink, segment.data, segment.size, now);
}

void TxPipeline::Segment(TunnelPath& tunnel, RunSink& sink, uint8_t* data, uint32_t size,
                         Instant now) {
  if (tunnel.classic != nullptr) return classic_.Add(tunnel, sink, data, size, now);
  packet::IpView ip;
  if (!packet::ParseIp(data, size, &ip)) {
    tunnel.drops.Add(cipe_drop_tx_bad_inner);
    return;
  }
  const PeerMap* map = tunnel.peer_map.load(std::memory_order_acquire);
  PeerPath* found = map == nullptr ? nullptr : map->Find(ip.is_v4(), ip.destination());
  if (found == nullptr) {
    answers_.Unreachable(sink, ip, now);
    tunnel.drops.Add(cipe_drop_tx_no_route);
    return;
  }
  PeerPath& peer = *found;
  if (IsOwnFrame(ip, tunnel, peer)) return peer.drops.Add(cipe_drop_tx_own_frame);
  peer.last_data_sent.store(ToNanos(now), std::memory_order_relaxed);
  if (packet::IsTcpSyn(ip) && tunnel.mss_clamp.load(std::memory_order_relaxed)) {
    packet::ClampMss(data, ip, peer.limit.load(std::memory_order_relaxed));
  }
  Session* session = peer.current.load(std::memory_order_acquire);
  if (session == nullptr || session->Expired(now)) {
    Stage(tunnel, peer, sink, data, size, now);
    return;
  }
  Fit(*session, sink, data, size, tunnel, now);
}

void TxPipeline::Fit(Session& session, RunSink& sink, const uint8_t* data, uint32_t size,
                     TunnelPath& tunnel, Instant now) {
  if (size > session.path().limit.load(std::memory_order_relaxed)) {
    return TooBig(session, sink, data, size, tunnel, now);
  }
  SealInto(session, sink, data, size, false, tunnel, now);
}

// Where the netdev's MTU is greater than this peer's way (docs/protocol.md, "ECN, DSCP, MTU").
void TxPipeline::TooBig(Session& session, RunSink& sink, const uint8_t* data, uint32_t size,
                        TunnelPath& tunnel, Instant now) {
  PeerPath& peer = session.path();
  const uint32_t limit = peer.limit.load(std::memory_order_relaxed);
  const uint32_t most = std::min(peer.mtu.load(std::memory_order_relaxed),
                                 std::max(limit, tunnel.least_mtu.load(std::memory_order_relaxed)));
  packet::IpView ip;
  if (!packet::ParseIp(data, size, &ip)) return tunnel.drops.Add(cipe_drop_tx_bad_inner);
  // Its sender need not go below `most`, so it is of no use to tell him.
  const bool cut = size <= most ? oversize_.Resegment(ip, limit) : oversize_.Fragment(ip, limit);
  if (cut) {
    for (auto piece = oversize_.Next(); !piece.empty(); piece = oversize_.Next()) {
      SealInto(session, sink, piece.data(), static_cast<uint32_t>(piece.size()), false, tunnel,
               now);
    }
    return;
  }
  if (size <= most) return SealInto(session, sink, data, size, true, tunnel, now);
  const bool told = answers_.TooBig(sink, ip, ip.is_v4() ? limit : most, now);
  peer.drops.Add(told ? cipe_drop_tx_too_big_told : cipe_drop_tx_too_big);
}

void TxPipeline::SealInto(Session& session, RunSink& sink, const uint8_t* data, uint32_t size,
                          bool may_fragment, TunnelPath& tunnel, Instant now) {
  const packet::OuterFields fields{TosFor(tunnel, data), 0, may_fragment};
  const size_t frame_size = size + protocol::kDataOverhead;
  const bool joins = run_count_ > 0 && run_session_ == &session && run_sink_ == &sink &&
                     run_fields_ == fields && !run_closed_ && frame_size <= run_each_ &&
                     run_count_ < run_max_;
  if (!joins) {
    Flush(now);
    run_path_ = session.path().path.Get();
    if (!run_path_.remote.is_set()) {
      session.path().drops.Add(cipe_drop_tx_no_endpoint);
      return;
    }
    run_session_ = &session;
    run_tunnel_ = &tunnel;
    run_sink_ = &sink;
    run_fields_ = fields;
    run_each_ = frame_size;
    run_max_ = std::clamp<size_t>(sink.MaxRun(run_path_.remote.address.family, frame_size), 1,
                                  std::max<size_t>(kRunBuffer / frame_size, 1));
    if (may_fragment) run_max_ = 1;  // the kernel fragments no GSO
  }
  if (frame_size > kRunBuffer) {
    session.path().drops.Add(cipe_drop_tx_too_big);
    return;
  }
  uint8_t* out = run_.get() + run_size_;
  session::SendLane& lane = session.send_lane(0);
  {
    std::lock_guard guard(lane.lock);
    const std::optional<uint64_t> counter = lane.TakeCounter(size);
    if (!counter.has_value()) {
      session.path().drops.Add(cipe_drop_tx_key_exhausted);
      WantHandshake(session.path(), session.setup().local_index);
      return;
    }
    StoreLe32(out, protocol::kTypeData);
    StoreLe32(out + 4, session.setup().remote_index);
    StoreLe64(out + 8, *counter);
    SealJob job{*counter, out, data, out + protocol::kDataHeaderSize, size};
    lane.key->SealBatch(absl::MakeSpan(&job, 1));
  }
  if (lane.WantsRekey() && !session.rekey_reported.exchange(true)) {
    event_.type = EventType::kRekeyWanted;
    event_.tunnel = session.path().tunnel;
    event_.peer = session.path().peer;
    event_.session = session.setup().local_index;
    event_.size = 0;
    if (!events_.Push(event_)) session.rekey_reported = false;
  }
  run_size_ += frame_size;
  run_inner_bytes_ += size;
  ++run_count_;
  run_closed_ = frame_size < run_each_;
  if (run_count_ == run_max_ || run_closed_) Flush(now);
}

void CountSend(PeerPath& peer, SendResult result, uint64_t packets, uint64_t octets) {
  switch (result) {
    case SendResult::kSent:
      peer.traffic.tx_packets.fetch_add(packets, std::memory_order_relaxed);
      peer.traffic.tx_bytes.fetch_add(octets, std::memory_order_relaxed);
      break;
    case SendResult::kNoBuffer:
      peer.drops.Add(cipe_drop_tx_no_buffer, packets);
      break;
    case SendResult::kTooBig:
      peer.drops.Add(cipe_drop_tx_too_big, packets);
      break;
    case SendResult::kError:
      peer.drops.Add(cipe_drop_tx_send_error, packets);
      break;
  }
}

void TxPipeline::Flush(Instant now) {
  classic_.Flush(now);
  if (run_count_ == 0) return;
  PeerPath& peer = run_session_->path();
  const SendResult result =
      run_sink_->SendRun(run_path_, run_fields_, run_.get(), run_size_, run_each_);
  CountSend(peer, result, run_count_, run_inner_bytes_);
  peer.last_sent.store(ToNanos(now), std::memory_order_relaxed);
  run_count_ = run_size_ = run_each_ = 0;
  run_inner_bytes_ = 0;
  run_closed_ = false;
  run_session_ = nullptr;
}

void TxPipeline::WantHandshake(PeerPath& peer, uint32_t exhausted) {
  if (peer.handshake_wanted.exchange(true)) return;
  event_.type = EventType::kHandshakeWanted;
  event_.tunnel = peer.tunnel;
  event_.peer = peer.peer;
  event_.session = exhausted;
  event_.size = 0;
  if (!events_.Push(event_)) peer.handshake_wanted = false;
}

void TxPipeline::Stage(TunnelPath& tunnel, PeerPath& peer, RunSink& sink, const uint8_t* data,
                       uint32_t size, Instant now) {
  WantHandshake(peer, 0);
  // Peers that are not there must not take the room of one that soon is.
  while (!staged_.empty() && now - staged_.front().since > kStagedLifetime) {
    Expire(tunnel, sink, staged_.front(), now);
    staged_bytes_ -= staged_.front().packet.size();
    staged_.pop_front();
  }
  const auto waiting = std::count_if(staged_.begin(), staged_.end(),
                                     [&](const Staged& s) { return s.peer == &peer; });
  if (staged_.size() >= kMaxStagedPerWorker || staged_bytes_ + size > kMaxStagedBytes ||
      static_cast<size_t>(waiting) >= kMaxStagedPerPeer) {
    peer.drops.Add(cipe_drop_tx_staging_full);
    return;
  }
  staged_bytes_ += size;
  staged_.push_back({&tunnel, &peer, now, std::vector<uint8_t>(data, data + size)});
}

// `sink` is `tunnel`'s; the senders of packets of others cannot be told.
void TxPipeline::Expire(TunnelPath& tunnel, RunSink& sink, const Staged& s, Instant now) {
  packet::IpView ip;
  answers_.NewPacket();
  if (s.tunnel == &tunnel && packet::ParseIp(s.packet.data(), s.packet.size(), &ip)) {
    answers_.Unreachable(sink, ip, now);
  }
  s.peer->drops.Add(cipe_drop_tx_staging_expired);
}

void TxPipeline::FlushStaged(TunnelPath& tunnel, RunSink& sink, Instant now) {
  if (tunnel.classic != nullptr) return classic_.FlushStaged(tunnel, sink, now);
  for (size_t left = staged_.size(); left > 0; --left) {
    Staged s = std::move(staged_.front());
    staged_.pop_front();
    Session* session = s.peer->current.load(std::memory_order_acquire);
    if (s.tunnel == &tunnel && session != nullptr && !session->Expired(now)) {
      answers_.NewPacket();
      Fit(*session, sink, s.packet.data(), static_cast<uint32_t>(s.packet.size()), tunnel, now);
    } else if (now - s.since > kStagedLifetime) {
      Expire(tunnel, sink, s, now);
    } else {
      staged_.push_back(std::move(s));
      continue;
    }
    staged_bytes_ -= s.packet.size();
  }
  Flush(now);
}

void TxPipeline::DropStaged(const TunnelPath& tunnel) {
  classic_.DropStaged(tunnel);
  std::erase_if(staged_, [&](const Staged& s) {
    if (s.tunnel != &tunnel) return false;
    staged_bytes_ -= s.packet.size();
    return true;
  });
}

void TxPipeline::DropStaged(const absl::flat_hash_set<const PeerPath*>& peers) {
  std::erase_if(staged_, [&](const Staged& s) {
    if (!peers.contains(s.peer)) return false;
    staged_bytes_ -= s.packet.size();
    return true;
  });
}

}  // namespace cipe::dataplane
