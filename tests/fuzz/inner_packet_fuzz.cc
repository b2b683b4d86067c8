// Whatever stands in a decrypted packet or comes from the TUN: parse, segment, join; no access
// outside and no accepted packet that contradicts its own view. What was joined comes apart into
// the packets it was made of.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "packet/coalescer.h"
#include "packet/ecn.h"
#include "packet/segmenter.h"
#include "tests/unit/packet/packet_builder.h"

using namespace cipe::packet;

namespace {

bool IsTcp(const IpView& view) { return view.protocol == IPPROTO_TCP; }

// A write as the TUN would see it.
Bytes Gather(const PacketWrite& write) {
  Bytes packet;
  for (uint32_t i = 1; i < write.iov_count; ++i) {
    const auto* p = static_cast<const uint8_t*>(write.iov[i].iov_base);
    packet.insert(packet.end(), p, p + write.iov[i].iov_len);
  }
  if (packet.size() != write.size || packet.size() > kMaxPacket) abort();
  return packet;
}

// As it came, three times: same sequence number, mostly wrong checksums.
void JoinAsItIs(const Bytes& packet) {
  Bytes copies[3] = {packet, packet, packet};
  Coalescer joiner({.tso = true, .uso = true, .max_packets = 3});
  for (Bytes& copy : copies) {
    IpView view;
    if (!ParseIp(copy.data(), copy.size(), &view) || !joiner.Add(copy.data(), view)) abort();
  }
  for (const PacketWrite& write : joiner.Finish()) Gather(write);
}

// The packet as one of four that follow each other, checksums right: the last one half as long.
std::vector<Bytes> Sequence(const Bytes& packet, const IpView& view) {
  const size_t header = view.l4_offset + (IsTcp(view) ? (view.l4()[12] >> 4) * 4u : 8u);
  std::vector<Bytes> all;
  if (header > view.total || (IsTcp(view) && header < view.l4_offset + kTcpHeaderSize)) return all;
  const size_t payload = view.total - header;
  for (uint32_t i = 0; i < 4; ++i) {
    Bytes next(packet.begin(),
               packet.begin() + static_cast<long>(i < 3 ? view.total : header + payload / 2));
    if (view.is_v4()) Put16(&next, 4, (Get16(next, 4) + i) & 0xffff);
    if (IsTcp(view)) {
      const size_t at = view.l4_offset + size_t{4};
      Put32(&next, at, Get32(next, at) + i * static_cast<uint32_t>(payload));
    }
    Complete(&next);
    all.push_back(std::move(next));
  }
  return all;
}

void JoinAndCut(const Bytes& packet, const IpView& view) {
  const bool plain = view.l4_offset == (view.is_v4() ? kIpv4HeaderSize : kIpv6HeaderSize);
  const bool known = IsTcp(view) ? view.l4_size() >= kTcpHeaderSize
                                 : view.protocol == IPPROTO_UDP && view.l4_size() >= kUdpHeaderSize;
  if (!plain || !known || view.fragment) return;
  const std::vector<Bytes> before = Sequence(packet, view);
  std::vector<Bytes> copies = before, after;
  Coalescer joiner({.tso = true, .uso = true, .max_packets = 4});
  for (Bytes& copy : copies) {
    IpView v;
    if (!ParseIp(copy.data(), copy.size(), &v) || !joiner.Add(copy.data(), v)) abort();
  }
  for (const PacketWrite& write : joiner.Finish()) {
    Bytes whole = Gather(write);
    Segmenter cutter;
    if (!cutter.Start(write.header, whole.data(), whole.size())) abort();
    for (Segment s; cutter.Next(&s);) after.emplace_back(s.data, s.data + s.size);
  }
  if (after != before) abort();
}

void Cut(const VnetHeader& header, Bytes packet) {
  Segmenter cutter;
  if (!cutter.Start(header, packet.data(), packet.size())) return;
  for (Segment s; cutter.Next(&s);) {
    IpView view;
    if (s.data < packet.data() || s.data + s.size > packet.data() + packet.size()) abort();
    if (!ParseIp(s.data, s.size, &view) || view.total != s.size) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < sizeof(VnetHeader) + 1 || size > 4096) return 0;
  VnetHeader header;
  std::memcpy(&header, data, sizeof header);
  const Bytes packet(data + sizeof header, data + size);
  IpView view;
  if (!ParseIp(packet.data(), packet.size(), &view)) return 0;
  if (view.total > packet.size() || view.l4_offset > view.total) abort();
  Bytes marked = packet;
  ApplyOuterEcn(marked.data(), header.flags & kEcnMask);
  JoinAsItIs(packet);
  JoinAndCut(packet, view);
  Cut(header, packet);
  return 0;
}
