#include "packet/mss_clamp.h"

#include <algorithm>

#include "base/bytes.h"
#include "packet/checksum.h"

namespace cipe::packet {
namespace {

// Option kinds of RFC 9293, 3.1.
constexpr uint8_t kEndOfList = 0, kNoOperation = 1, kMaximumSegmentSize = 2;
constexpr uint8_t kMssOptionSize = 4;
constexpr size_t kDataOffset = 12;  // upper nibble: header size in 32-bit words

// Offset of the MSS value from the start of the TCP header, or 0. `size` octets are options or
// header, so the option lies within them whole.
size_t FindMss(const uint8_t* tcp, size_t size) {
  for (size_t at = kTcpHeaderSize; at < size;) {
    const uint8_t kind = tcp[at];
    if (kind == kEndOfList) return 0;
    if (kind == kNoOperation) {
      ++at;
      continue;
    }
    if (size - at < 2) return 0;
    const size_t length = tcp[at + 1];
    if (length < 2 || length > size - at) return 0;
    if (kind == kMaximumSegmentSize) return length == kMssOptionSize ? at + 2 : 0;
    at += length;
  }
  return 0;
}

// The checksum is over 16-bit words of the TCP header; a value that starts at an odd octet is part
// of two of them, each of which changes by one octet.
void Store(uint8_t* tcp, size_t at, uint16_t value) {
  uint16_t checksum = LoadLe16(tcp + kTcpChecksumOffset);
  const size_t first = at & ~size_t{1}, last = (at + 1) & ~size_t{1};
  const uint16_t before[2] = {LoadLe16(tcp + first), LoadLe16(tcp + last)};
  StoreBe16(tcp + at, value);
  checksum = UpdateChecksum(checksum, before[0], LoadLe16(tcp + first));
  if (last != first) checksum = UpdateChecksum(checksum, before[1], LoadLe16(tcp + last));
  StoreLe16(tcp + kTcpChecksumOffset, checksum);
}

}  // namespace

bool ClampMss(uint8_t* packet, const IpView& view, uint32_t mtu) {
  uint8_t* tcp = packet + view.l4_offset;
  const size_t header = (tcp[kDataOffset] >> 4) * size_t{4};
  if (header < kTcpHeaderSize || header > view.l4_size()) return false;
  const size_t at = FindMss(tcp, header);
  if (at == 0) return false;
  // Fixed header sizes whatever options there are: what the value means (RFC 6691).
  const uint32_t headers = (view.is_v4() ? kIpv4HeaderSize : kIpv6HeaderSize) + kTcpHeaderSize;
  const uint32_t most = std::min<uint32_t>(mtu > headers ? mtu - headers : 1, UINT16_MAX);
  if (LoadBe16(tcp + at) <= most) return false;
  Store(tcp, at, static_cast<uint16_t>(most));
  return true;
}

}  // namespace cipe::packet
