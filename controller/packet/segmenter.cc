#include "packet/segmenter.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace cipe::packet {

bool Segmenter::Start(const VnetHeader& header, uint8_t* packet, size_t size) {
  segments_ = next_ = 0;
  packet_ = packet;
  if (!ParseIp(packet, size, &view_)) return false;
  return header.gso_type == kGsoNone ? StartSingle(header) : StartGso(header);
}

bool Segmenter::StartSingle(const VnetHeader& header) {
  if ((header.flags & kVnetNeedsCsum) != 0) {
    const size_t start = header.csum_start;
    const size_t field = start + header.csum_offset;
    // It may be an inner header's (an encapsulation), but never lies in the extension headers.
    if (start < view_.l4_offset || field + 2 > view_.total) return false;
    // The field already holds the sum of the pseudo header.
    const Sum sum = SumOctets(packet_ + start, view_.total - start);
    StoreLe16(packet_ + field, NonZeroChecksumOf(sum));
  }
  gso_size_ = 0;
  segments_ = 1;
  return true;
}

bool Segmenter::StartGso(const VnetHeader& header) {
  if (!CheckGsoHeaders(header)) return false;
  std::memcpy(headers_, packet_, header_size_);
  gso_size_ = header.gso_size;
  segments_ = (view_.total - header_size_ + gso_size_ - 1) / gso_size_;
  return true;
}

bool Segmenter::CheckGsoHeaders(const VnetHeader& header) {
  switch (header.gso_type & ~kGsoEcn) {
    case kGsoTcp4:
      tcp_ = true;
      if (!view_.is_v4()) return false;
      break;
    case kGsoTcp6:
      tcp_ = true;
      if (view_.is_v4()) return false;
      break;
    case kGsoUdpL4:
      tcp_ = false;
      if ((header.gso_type & kGsoEcn) != 0) return false;
      break;
    default:
      return false;
  }
  if (view_.fragment || header.gso_size == 0) return false;
  if (view_.protocol != (tcp_ ? IPPROTO_TCP : IPPROTO_UDP)) return false;
  // hdr_len is the kernel's linear part, often more than the headers: they are read here instead.
  if ((header.flags & kVnetNeedsCsum) != 0 &&
      (header.csum_start != view_.l4_offset ||
       header.csum_offset != (tcp_ ? kTcpChecksumOffset : kUdpChecksumOffset))) {
    return false;
  }
  size_t l4_header = kUdpHeaderSize;
  if (tcp_) {
    if (view_.l4_size() < kTcpHeaderSize) return false;
    l4_header = (view_.l4()[12] >> 4) * size_t{4};
    if (l4_header < kTcpHeaderSize) return false;
    if ((view_.l4()[13] & (kTcpSyn | kTcpRst)) != 0) return false;
  }
  header_size_ = static_cast<uint32_t>(view_.l4_offset + l4_header);
  return header_size_ <= kMaxHeaders && header_size_ < view_.total;
}

void Segmenter::PutIpHeader(uint8_t* p, uint32_t size) const {
  if (!view_.is_v4()) {
    StoreBe16(p + 4, static_cast<uint16_t>(size - kIpv6HeaderSize));
    return;
  }
  StoreBe16(p + 2, static_cast<uint16_t>(size));
  StoreBe16(p + 4, static_cast<uint16_t>(LoadBe16(headers_ + 4) + next_));
  SetIpv4HeaderChecksum(p, view_.l4_offset);
}

void Segmenter::PutTcpHeader(uint8_t* l4) const {
  StoreBe32(l4 + 4, LoadBe32(headers_ + view_.l4_offset + 4) + next_ * gso_size_);
  // CWR answers one ECE and must not be said again (RFC 3168 6.1.2); FIN and PSH belong to the end.
  if (next_ != 0) l4[13] &= static_cast<uint8_t>(~kTcpCwr);
  if (remaining() > 1) l4[13] &= static_cast<uint8_t>(~(kTcpFin | kTcpPsh));
}

bool Segmenter::Next(Segment* out) {
  if (next_ == segments_) return false;
  if (gso_size_ == 0) {
    next_ = segments_;
    *out = Segment{packet_, view_.total};
    return true;
  }
  const uint32_t offset = next_ * gso_size_;
  const uint32_t size = header_size_ + std::min(gso_size_, view_.total - header_size_ - offset);
  uint8_t* p = packet_ + offset;
  uint8_t* l4 = p + view_.l4_offset;
  std::memcpy(p, headers_, header_size_);
  PutIpHeader(p, size);
  if (tcp_) {
    PutTcpHeader(l4);
  } else {
    StoreBe16(l4 + 4, static_cast<uint16_t>(size - view_.l4_offset));
  }
  uint8_t* checksum = l4 + (tcp_ ? kTcpChecksumOffset : kUdpChecksumOffset);
  StoreLe16(checksum, 0);
  const uint32_t l4_size = size - view_.l4_offset;
  // Addresses are read from the first headers: the packet's own may be overwritten by now.
  const uint8_t* source = headers_ + (view_.is_v4() ? 12 : 8);
  const Sum pseudo = PseudoHeaderSum(source, source + view_.address_size(), view_.address_size(),
                                     view_.protocol, l4_size);
  StoreLe16(checksum, NonZeroChecksumOf(SumOctets(l4, l4_size, pseudo)));
  ++next_;
  *out = Segment{p, size};
  return true;
}

}  // namespace cipe::packet
