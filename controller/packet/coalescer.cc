#include "packet/coalescer.h"

#include <cstring>

#include "base/bytes.h"
#include "packet/checksum.h"

namespace cipe::packet {
namespace {

bool IsTcp(const IpView& view) { return view.protocol == IPPROTO_TCP; }

// Joining needs an IP header without options or extensions: their fields may differ per packet.
bool PlainIpHeader(const IpView& view) {
  return view.l4_offset == (view.is_v4() ? kIpv4HeaderSize : kIpv6HeaderSize);
}

uint8_t TcpFlags(const IpView& view) { return view.l4()[13]; }

}  // namespace

Coalescer::Coalescer(const Options& options)
    : options_(options),
      items_(new Item[options.max_packets]),
      runs_(new Run[options.max_packets]),
      writes_(new PacketWrite[options.max_packets]),
      iov_(new iovec[size_t{2} * options.max_packets]) {}

void Coalescer::Reset() {
  count_ = runs_used_ = 0;
  flows_used_ = oldest_flow_ = 0;
  finished_ = false;
}

Coalescer::FlowKey Coalescer::KeyOf(const IpView& view) {
  FlowKey key;
  if (view.is_v4()) {
    key.addresses[0] = LoadLe64(view.source());  // both addresses stand side by side
  } else {
    std::memcpy(key.addresses.data(), view.source(), 32);
  }
  key.ports = LoadLe32(view.l4());
  key.protocol = view.protocol;
  key.family = view.family;
  return key;
}

uint32_t Coalescer::HashOf(const FlowKey& key) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  uint64_t h = key.ports + (uint64_t{key.protocol} << 32);
  for (const uint64_t word : key.addresses) h = (h ^ word) * kOdd;
  return static_cast<uint32_t>(h >> 32);
}

Coalescer::Candidate Coalescer::Examine(const IpView& view) const {
  Candidate c;
  c.view = view;
  if (IsTcp(view)) {
    if (view.l4_size() < kTcpHeaderSize) return c;
    const uint32_t header = (view.l4()[12] >> 4) * 4u;
    if (header < kTcpHeaderSize || header > view.l4_size()) return c;
    c.header_size = view.l4_offset + header;
    c.joinable = (TcpFlags(view) & (kTcpSyn | kTcpRst | kTcpUrg | kTcpAck)) == kTcpAck;
  } else {
    if (LoadBe16(view.l4() + 4) != view.l4_size()) return c;
    c.header_size = view.l4_offset + uint32_t{kUdpHeaderSize};
    c.joinable = LoadLe16(view.l4() + kUdpChecksumOffset) != 0;
  }
  c.payload_size = view.total - c.header_size;
  c.joinable = c.joinable && c.payload_size != 0 && PlainIpHeader(view);
  return c;
}

bool Coalescer::Add(uint8_t* packet, const IpView& view) {
  if (finished_) Reset();
  if (count_ == options_.max_packets) return false;
  const bool wanted = (view.protocol == IPPROTO_TCP && options_.tso) ||
                      (view.protocol == IPPROTO_UDP && options_.uso);
  if (wanted && !view.fragment && view.l4_size() >= kUdpHeaderSize) {
    AddToFlow(packet, Examine(view));
    return true;
  }
  // It may belong to any flow between its addresses, and must not be overtaken by that flow's rest.
  if (wanted || view.fragment) CloseFlowsBetween(view);
  Candidate alone;
  alone.view = view;
  NewRun(packet, alone);
  return true;
}

void Coalescer::AddToFlow(uint8_t* packet, const Candidate& c) {
  const FlowKey key = KeyOf(c.view);
  const uint32_t hash = HashOf(key);
  Flow* flow = FindFlow(key, hash);
  bool opens = c.joinable;
  if (flow != nullptr && flow->run != kNone && c.joinable) {
    Run* run = &runs_[flow->run];
    switch (TryJoin(run, packet, c)) {
      case Join::kJoined:
        if (EndsRun(*run, c)) flow->run = kNone;
        return;
      case Join::kBadChecksum:
        opens = false;
        break;
      case Join::kNo:
        break;
    }
  }
  const uint32_t run = NewRun(packet, c);
  if (opens && EndsRun(runs_[run], c)) opens = false;
  if (flow == nullptr && opens) flow = TakeFlow(key, hash);
  if (flow != nullptr) flow->run = opens ? run : kNone;
}

uint32_t Coalescer::NewRun(uint8_t* packet, const Candidate& c) {
  Run& run = runs_[runs_used_];
  run = Run();
  run.view = c.view;
  run.header_size = c.header_size;
  run.segment = c.payload_size;
  run.total = c.header_size;
  Append(&run, packet, c);
  if (!c.joinable) run.total = c.view.total;
  return runs_used_++;
}

void Coalescer::Append(Run* run, uint8_t* packet, const Candidate& c) {
  items_[count_] = Item{packet, kNone, c.view.total, c.header_size};
  if (run->packets == 0) {
    run->first = count_;
  } else {
    items_[run->last].next = count_;
  }
  run->last = count_++;
  ++run->packets;
  run->total += c.payload_size;
  if (!c.joinable) return;
  if (c.view.is_v4()) run->last_id = LoadBe16(c.view.packet + 4);
  if (IsTcp(c.view)) {
    run->next_sequence = LoadBe32(c.view.l4() + 4) + c.payload_size;
    run->tail_flags = TcpFlags(c.view) & (kTcpFin | kTcpPsh);
  }
}

// Same header in all that a superpacket has only one of; IPv4 ids must be what segmentation will
// make of them, except with DF, where they mean nothing (RFC 6864 4.1) and may stand still.
bool Coalescer::IpFits(const Run& run, const Candidate& c, bool* fixed_id) {
  const uint8_t* a = run.view.packet;
  const uint8_t* b = c.view.packet;
  if (!c.view.is_v4()) return LoadLe32(a) == LoadLe32(b) && a[7] == b[7];
  if (a[1] != b[1] || a[8] != b[8] || LoadLe16(a + 6) != LoadLe16(b + 6)) return false;
  const bool dont_fragment = (a[6] & 0x40) != 0;
  const auto step = static_cast<uint16_t>(LoadBe16(b + 4) - run.last_id);
  *fixed_id = dont_fragment && step == 0;
  if (step != 1 && !*fixed_id) return false;
  return run.packets == 1 || *fixed_id == run.fixed_id;
}

bool Coalescer::TcpFits(const Run& run, const Candidate& c) {
  const uint8_t* a = run.view.l4();
  const uint8_t* b = c.view.l4();
  if (LoadBe32(b + 4) != run.next_sequence) return false;
  // A superpacket says CWR once, at its start; FIN and PSH of its end are carried over.
  if ((b[13] & kTcpCwr) != 0) return false;
  constexpr uint8_t kMayDiffer = kTcpCwr | kTcpFin | kTcpPsh;
  if (((a[13] ^ b[13]) & ~kMayDiffer) != 0) return false;
  if (a[12] != b[12]) return false;                        // header length and reserved bits
  if (LoadLe32(a + 8) != LoadLe32(b + 8)) return false;    // acknowledgement
  if (LoadLe16(a + 14) != LoadLe16(b + 14)) return false;  // window
  if (LoadLe16(a + 18) != LoadLe16(b + 18)) return false;  // urgent pointer
  const uint32_t options = c.header_size - c.view.l4_offset - uint32_t{kTcpHeaderSize};
  return std::memcmp(a + kTcpHeaderSize, b + kTcpHeaderSize, options) == 0;
}

Coalescer::Join Coalescer::TryJoin(Run* run, uint8_t* packet, const Candidate& c) {
  bool fixed_id = false;
  if (c.header_size != run->header_size || c.payload_size > run->segment) return Join::kNo;
  if (run->total + c.payload_size > kMaxPacket) return Join::kNo;
  if (run->packets == (IsTcp(c.view) ? kMaxTcpPieces : kMaxUdpPieces)) return Join::kNo;
  if (!IpFits(*run, c, &fixed_id)) return Join::kNo;
  if (IsTcp(c.view) && !TcpFits(*run, c)) return Join::kNo;
  if (!HeaderChecksumOk(c.view) || !L4ChecksumOk(c.view)) return Join::kBadChecksum;
  if (!run->verified) {  // a packet that stays alone is left to the kernel to verify
    if (!HeaderChecksumOk(run->view) || !L4ChecksumOk(run->view)) return Join::kNo;
    run->verified = true;
  }
  run->fixed_id = fixed_id;
  Append(run, packet, c);
  return Join::kJoined;
}

bool Coalescer::EndsRun(const Run& run, const Candidate& c) {
  return c.payload_size < run.segment || run.tail_flags != 0;
}

Coalescer::Flow* Coalescer::FindFlow(const FlowKey& key, uint32_t hash) {
  for (size_t i = 0; i < flows_used_; ++i) {
    if (flows_[i].hash == hash && flows_[i].key == key) return &flows_[i];
  }
  return nullptr;
}

Coalescer::Flow* Coalescer::TakeFlow(const FlowKey& key, uint32_t hash) {
  size_t i = flows_used_;
  if (i < kFlows) {
    ++flows_used_;
  } else {
    i = oldest_flow_;
    oldest_flow_ = (oldest_flow_ + 1) % kFlows;
  }
  flows_[i] = Flow{hash, kNone, key};
  return &flows_[i];
}

void Coalescer::CloseFlowsBetween(const IpView& view) {
  for (size_t i = 0; i < flows_used_; ++i) {
    Flow& flow = flows_[i];
    if (flow.run == kNone || flow.key.family != view.family) continue;
    const uint8_t* addresses = runs_[flow.run].view.source();
    if (std::memcmp(addresses, view.source(), 2 * view.address_size()) == 0) flow.run = kNone;
  }
}

absl::Span<const PacketWrite> Coalescer::Finish() {
  if (finished_) Reset();
  iovec* iov = iov_.get();
  for (uint32_t i = 0; i < runs_used_; ++i) {
    Emit(runs_[i], &writes_[i], iov);
    iov += writes_[i].iov_count;
  }
  finished_ = true;
  return absl::MakeConstSpan(writes_.get(), runs_used_);
}

void Coalescer::Emit(const Run& run, PacketWrite* write, iovec* iov) const {
  const Item& first = items_[run.first];
  write->header = VnetHeader();
  write->iov = iov;
  write->iov_count = run.packets + 1;
  write->packets = run.packets;
  write->size = run.total;
  *iov++ = iovec{&write->header, sizeof write->header};
  *iov++ = iovec{first.packet, first.total};
  for (uint32_t i = first.next; i != kNone; i = items_[i].next) {
    const Item& item = items_[i];
    *iov++ = iovec{item.packet + item.payload, item.total - item.payload};
  }
  if (run.packets > 1) RewriteFirst(run, first.packet, &write->header);
}

void Coalescer::RewriteFirst(const Run& run, uint8_t* packet, VnetHeader* header) {
  const IpView& view = run.view;
  const bool tcp = IsTcp(view);
  const uint32_t l4_size = run.total - view.l4_offset;
  uint8_t* l4 = packet + view.l4_offset;
  if (view.is_v4()) {
    StoreBe16(packet + 2, static_cast<uint16_t>(run.total));
    SetIpv4HeaderChecksum(packet, view.l4_offset);
  } else {
    StoreBe16(packet + 4, static_cast<uint16_t>(run.total - kIpv6HeaderSize));
  }
  header->flags = kVnetNeedsCsum;
  header->hdr_len = static_cast<uint16_t>(run.header_size);
  header->gso_size = static_cast<uint16_t>(run.segment);
  header->csum_start = view.l4_offset;
  header->csum_offset = tcp ? kTcpChecksumOffset : kUdpChecksumOffset;
  if (tcp) {
    header->gso_type = view.is_v4() ? kGsoTcp4 : kGsoTcp6;
    if ((l4[13] & kTcpCwr) != 0) header->gso_type |= kGsoEcn;
    l4[13] |= run.tail_flags;
  } else {
    header->gso_type = kGsoUdpL4;
    StoreBe16(l4 + 4, static_cast<uint16_t>(l4_size));
  }
  // The kernel sums the rest: the field holds the pseudo header's sum, not complemented.
  StoreLe16(l4 + header->csum_offset, FoldSum(PseudoHeaderSum(view, view.protocol, l4_size)));
}

}  // namespace cipe::packet
