#include "packet/fragmenter.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/checksum.h"

namespace cipe::packet {
namespace {

constexpr uint16_t kDontFragment = 0x4000, kMoreFragments = 0x2000, kOffset = 0x1fff;
constexpr uint8_t kEndOfList = 0, kNoOperation = 1, kCopied = 0x80;  // RFC 791, 3.1

// Writes the options that every fragment has to `out`; returns how many octets, a multiple of 4.
uint32_t CopyOptions(const uint8_t* options, size_t size, uint8_t* out) {
  uint32_t written = 0;
  for (size_t at = 0; at < size && options[at] != kEndOfList;) {
    if (options[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (size - at < 2) break;
    const size_t length = options[at + 1];
    if (length < 2 || length > size - at) break;
    if ((options[at] & kCopied) != 0) {
      std::memcpy(out + written, options + at, length);
      written += static_cast<uint32_t>(length);
    }
    at += length;
  }
  while (written % 4 != 0) out[written++] = kEndOfList;
  return written;
}

}  // namespace

bool Fragmenter::Start(const IpView& packet, uint32_t mtu) {
  if (!packet.is_v4() || (LoadBe16(packet.packet + 6) & kDontFragment) != 0) return false;
  if (mtu < packet.l4_offset + 8u) return false;
  packet_ = packet;
  mtu_ = mtu;
  done_ = 0;
  return packet.l4_size() > 0;
}

uint32_t Fragmenter::PutHeader(uint8_t* out) const {
  if (done_ == 0) {
    std::memcpy(out, packet_.packet, packet_.l4_offset);
    return packet_.l4_offset;
  }
  std::memcpy(out, packet_.packet, kIpv4HeaderSize);
  const uint32_t header = static_cast<uint32_t>(kIpv4HeaderSize) +
                          CopyOptions(packet_.packet + kIpv4HeaderSize,
                                      packet_.l4_offset - kIpv4HeaderSize, out + kIpv4HeaderSize);
  out[0] = static_cast<uint8_t>(0x40 | header / 4);
  return header;
}

uint32_t Fragmenter::Next(uint8_t* out) {
  const uint32_t left = packet_.l4_size() - done_;
  if (left == 0) return 0;
  const uint32_t header = PutHeader(out);
  uint32_t part = left;
  if (header + left > mtu_) part = (mtu_ - header) & ~7u;  // offsets count in units of 8
  std::memcpy(out + header, packet_.l4() + done_, part);
  const uint16_t before = LoadBe16(packet_.packet + 6);
  const bool more = part < left || (before & kMoreFragments) != 0;
  const uint32_t offset = (before & kOffset) + done_ / 8;
  StoreBe16(out + 2, static_cast<uint16_t>(header + part));
  StoreBe16(out + 6, static_cast<uint16_t>((more ? kMoreFragments : 0) | (offset & kOffset)));
  SetIpv4HeaderChecksum(out, header);
  done_ += part;
  return header + part;
}

}  // namespace cipe::packet
