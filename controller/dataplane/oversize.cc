#include "dataplane/oversize.h"

#include <cstring>

#include "packet/checksum.h"

namespace cipe::dataplane {

uint8_t* Oversize::Buffer() {
  if (buffer_ == nullptr) buffer_ = std::make_unique<uint8_t[]>(packet::kMaxPacket);
  return buffer_.get();
}

bool Oversize::Fragment(const packet::IpView& ip, uint32_t mtu) {
  segments_ = false;
  return fragmenter_.Start(ip, mtu);
}

// What a network card does with a superpacket, to a segment that is just a bit too long.
bool Oversize::Resegment(const packet::IpView& ip, uint32_t mtu) {
  if (ip.protocol != IPPROTO_TCP || ip.fragment || ip.l4_size() < packet::kTcpHeaderSize) {
    return false;
  }
  const uint32_t headers = ip.l4_offset + (ip.l4()[12] >> 4) * 4u;
  // A wrong checksum must not become a right one.
  if (headers >= mtu || !packet::L4ChecksumOk(ip)) return false;
  packet::VnetHeader header;
  header.flags = packet::kVnetNeedsCsum;
  header.gso_type = ip.is_v4() ? packet::kGsoTcp4 : packet::kGsoTcp6;
  header.gso_size = static_cast<uint16_t>(mtu - headers);
  header.csum_start = ip.l4_offset;
  header.csum_offset = packet::kTcpChecksumOffset;
  std::memcpy(Buffer(), ip.packet, ip.total);
  segments_ = true;
  return segmenter_.Start(header, Buffer(), ip.total);
}

absl::Span<const uint8_t> Oversize::Next() {
  if (segments_) {
    packet::Segment segment;
    if (!segmenter_.Next(&segment)) return {};
    return {segment.data, segment.size};
  }
  const uint32_t size = fragmenter_.Next(Buffer());
  return {Buffer(), size};
}

}  // namespace cipe::dataplane
