#include "dataplane/classic_tx.h"

#include <algorithm>
#include <cstring>

#include "classic/packet.h"
#include "classic/socks_header.h"
#include "dataplane/classic_rx.h"
#include "packet/ip_view.h"

namespace cipe::dataplane {
namespace {

using namespace std::chrono_literals;

constexpr size_t kBuffer = 1 << 16;
constexpr size_t kMostSlots = 64;
constexpr Duration kStagedLifetime = 15s;

// The outer header takes over from the inner one, as 1999 did: all of TOS, TTL unless configured,
// and DF.
packet::OuterFields FieldsOf(const packet::IpView& ip, const ClassicPath& classic) {
  packet::OuterFields fields;
  fields.tos = ip.traffic_class();
  // An outer TTL of zero would go nowhere; the kernel routes no inner packet of that kind.
  fields.ttl = classic.ttl != 0 ? classic.ttl : std::max<uint8_t>(ip.hop_limit(), 1);
  fields.may_fragment = (ip.packet[6] & 0x40) == 0;
  return fields;
}

}  // namespace

ClassicTx::ClassicTx(EventQueue& events)
    : events_(events), buffer_(std::make_unique<uint8_t[]>(kBuffer)) {}

void ClassicTx::Add(TunnelPath& tunnel, RunSink& sink, const uint8_t* data, uint32_t size,
                    Instant now) {
  const ClassicPath& classic = *tunnel.classic;
  // StopTunnel has begun: keys are going.
  if (tunnel.peer_map.load(std::memory_order_acquire) == nullptr) {
    tunnel.drops.Add(cipe_drop_tx_no_route);
    return;
  }
  classic.peer->last_data_sent.store(ToNanos(now), std::memory_order_relaxed);
  if (classic.link != nullptr && !classic.link->MaySend()) {
    Stage(tunnel, data, size, false, now);
  } else {
    // What waited goes first: packets of one flow keep their order.
    if (!staged_.empty()) FlushStaged(tunnel, sink, now);
    Append(tunnel, sink, data, size, now);
  }
}

void ClassicTx::Append(TunnelPath& tunnel, RunSink& sink, const uint8_t* data, uint32_t size,
                       Instant now) {
  const ClassicPath& classic = *tunnel.classic;
  packet::IpView ip;
  if (!packet::ParseIp(data, size, &ip) || !ip.is_v4()) {
    classic.peer->drops.Add(cipe_drop_tx_classic_not_ipv4);
    return;
  }
  const size_t header = classic.socks ? classic::kSocksHeaderSize : 0;
  const size_t sealed = classic.link != nullptr ? classic::SealedSize(ip.total) : ip.total;
  if (header + sealed > kBuffer) {
    classic.peer->drops.Add(cipe_drop_tx_too_big);
    return;
  }
  if (tunnel_ != &tunnel || sink_ != &sink || slots_.size() == kMostSlots ||
      used_ + header + sealed > kBuffer) {
    Flush(now);
    tunnel_ = &tunnel;
    sink_ = &sink;
  }
  const Slot slot{static_cast<uint32_t>(used_), static_cast<uint32_t>(header + sealed), ip.total,
                  FieldsOf(ip, classic)};
  uint8_t* out = buffer_.get() + used_ + header;
  if (classic.link != nullptr) {
    classic::Assemble(classic::PacketType::kData, absl::MakeConstSpan(data, ip.total), rng_, out);
  } else {
    std::memcpy(out, data, ip.total);
  }
  used_ += slot.size;
  slots_.push_back(slot);
}

uint32_t ClassicTx::HeaderSize() const {
  return tunnel_->classic->socks ? static_cast<uint32_t>(classic::kSocksHeaderSize) : 0;
}

bool ClassicTx::SealAll(Instant now) {
  const ClassicPath& classic = *tunnel_->classic;
  if (classic.link == nullptr) return true;
  packets_.clear();
  for (const Slot& slot : slots_) {
    packets_.push_back({buffer_.get() + slot.offset + HeaderSize(), slot.size - HeaderSize()});
  }
  classic::LinkReport report;
  const bool sealed = classic.link->SealData(packets_, now, &report);
  if (report.any()) PushReport(events_, classic, report);
  return sealed;
}

void ClassicTx::Flush(Instant now) {
  if (slots_.empty()) return;
  const ClassicPath& classic = *tunnel_->classic;
  const session::Path path = classic.SendPath();
  const Endpoint peer = classic.peer->path.Get().remote;
  if (!path.remote.is_set() || !peer.is_set()) {
    classic.peer->drops.Add(cipe_drop_tx_no_endpoint, slots_.size());
  } else if (!SealAll(now)) {
    StageAll(now);
  } else {
    if (classic.socks) {
      for (const Slot& s : slots_) classic::WriteSocksHeader(peer, buffer_.get() + s.offset);
    }
    SendAll(path, now);
  }
  slots_.clear();
  used_ = 0;
}

// How many packets from `first` on can leave as one run: equal fields and sizes, a shorter one
// last.
size_t ClassicTx::RunFrom(size_t first, Family family) const {
  const Slot& head = slots_[first];
  const size_t most = std::max<size_t>(sink_->MaxRun(family, head.size), 1);
  size_t count = 1;
  while (count < most && first + count < slots_.size()) {
    const Slot& next = slots_[first + count];
    if (next.size > head.size || !(next.fields == head.fields)) break;
    ++count;
    if (next.size < head.size) break;
  }
  return count;
}

void ClassicTx::SendAll(const session::Path& path, Instant now) {
  session::PeerPath& peer = *tunnel_->classic->peer;
  for (size_t first = 0; first < slots_.size();) {
    const size_t count = RunFrom(first, path.remote.address.family);
    const Slot& head = slots_[first];
    size_t total = 0, inner = 0;
    for (size_t i = first; i < first + count; ++i) {
      total += slots_[i].size;
      inner += slots_[i].inner_size;
    }
    const SendResult result =
        sink_->SendRun(path, head.fields, buffer_.get() + head.offset, total, head.size);
    CountSend(peer, result, count, inner);
    first += count;
  }
  peer.last_sent.store(ToNanos(now), std::memory_order_relaxed);
}

void ClassicTx::StageAll(Instant now) {
  for (const Slot& slot : slots_) {
    const uint8_t* inner = buffer_.get() + slot.offset + HeaderSize() + classic::kIvSize;
    Stage(*tunnel_, inner, slot.inner_size, true, now);
  }
}

void ClassicTx::Stage(TunnelPath& tunnel, const uint8_t* data, uint32_t size, bool was_in_buffer,
                      Instant now) {
  const auto waiting = std::count_if(staged_.begin(), staged_.end(), [&](const Staged& s) {
    return s.tunnel == &tunnel && s.was_in_buffer == was_in_buffer;
  });
  if (static_cast<size_t>(waiting) >= kMostStaged) {
    tunnel.classic->peer->drops.Add(cipe_drop_tx_staging_full);
    return;
  }
  staged_.push_back({&tunnel, now, was_in_buffer, std::vector<uint8_t>(data, data + size)});
}

void ClassicTx::FlushStaged(TunnelPath& tunnel, RunSink& sink, Instant now) {
  const ClassicPath& classic = *tunnel.classic;
  for (size_t left = staged_.size(); left > 0; --left) {
    Staged s = std::move(staged_.front());
    staged_.pop_front();
    if (s.tunnel != &tunnel) {
      staged_.push_back(std::move(s));
    } else if (now - s.since > kStagedLifetime) {
      classic.peer->drops.Add(cipe_drop_tx_staging_expired);
    } else if (classic.link->MaySend()) {
      Append(tunnel, sink, s.packet.data(), static_cast<uint32_t>(s.packet.size()), now);
    } else {
      staged_.push_back(std::move(s));
    }
  }
  Flush(now);
}

void ClassicTx::DropStaged(const TunnelPath& tunnel) {
  std::erase_if(staged_, [&](const Staged& s) { return s.tunnel == &tunnel; });
}

bool ClassicTx::ShouldPause(const TunnelPath& tunnel, Instant now) const {
  const ClassicPath* classic = tunnel.classic;
  if (classic == nullptr || classic->link == nullptr || classic->link->MaySend()) return false;
  if (ToNanos(now) >= classic->pause_until.load(std::memory_order_relaxed)) return false;
  const auto waits = [&](const Staged& s) { return s.tunnel == &tunnel; };
  return std::any_of(staged_.begin(), staged_.end(), waits);
}

}  // namespace cipe::dataplane
