// Whatever stands in a decrypted packet or comes from the TUN: parse, segment, join; no access
// outside and no accepted packet that contradicts its own view.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "packet/coalescer.h"
#include "packet/ecn.h"
#include "packet/segmenter.h"

using namespace cipe::packet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < sizeof(VnetHeader) + 1 || size > 4096) return 0;
  VnetHeader header;
  std::memcpy(&header, data, sizeof header);
  std::vector<uint8_t> packet(data + sizeof header, data + size);
  IpView view;
  if (!ParseIp(packet.data(), packet.size(), &view)) return 0;
  if (view.total > packet.size() || view.l4_offset > view.total) abort();
  std::vector<uint8_t> copies[3] = {packet, packet, packet};
  ApplyOuterEcn(copies[0].data(), header.flags & kEcnMask);
  Coalescer joiner({.tso = true, .uso = true, .max_packets = 4});
  for (auto& copy : copies) {
    IpView v;
    if (!ParseIp(copy.data(), copy.size(), &v) || !joiner.Add(copy.data(), v)) abort();
  }
  for (const PacketWrite& w : joiner.Finish()) {
    size_t octets = 0;
    for (uint32_t i = 1; i < w.iov_count; ++i) octets += w.iov[i].iov_len;
    if (octets != w.size || octets > kMaxPacket) abort();
  }
  Segmenter cutter;
  if (!cutter.Start(header, packet.data(), packet.size())) return 0;
  for (Segment s; cutter.Next(&s);) {
    if (s.data < packet.data() || s.data + s.size > packet.data() + packet.size()) abort();
    if (!ParseIp(s.data, s.size, &view) || view.total != s.size) abort();
  }
  return 0;
}
