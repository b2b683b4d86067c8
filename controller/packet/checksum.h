// The Internet checksum (RFC 1071) over octets in memory. Sums and checksums are kept in memory
// order (as LoadLe16/StoreLe16 move them), which ones' complement arithmetic allows on any machine,
// so no octet is ever swapped on the way.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/ip_view.h"

namespace cipe::packet {

// Unfolded ones' complement sum. Adding two of these must go through AddSums.
using Sum = uint64_t;

inline Sum AddSums(Sum a, Sum b) {
  const Sum s = a + b;
  return s + (s < b);  // end-around carry
}

// Sum of `size` octets, an odd last one padded with zero. To continue a sum, what came before must
// have had an even number of octets.
Sum SumOctets(const uint8_t* data, size_t size, Sum initial = 0);

// To 16 bits, memory order.
inline uint16_t FoldSum(Sum sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// The checksum field for a sum of everything it covers. TCP and UDP checksums that come out as zero
// are sent as 0xffff (RFC 768; for TCP both mean the same).
inline uint16_t ChecksumOf(Sum sum) { return static_cast<uint16_t>(~FoldSum(sum)); }
inline uint16_t NonZeroChecksumOf(Sum sum) {
  const uint16_t c = ChecksumOf(sum);
  return c == 0 ? 0xffff : c;
}

// TCP and UDP pseudo header (RFC 9293 3.1, RFC 8200 8.1); `l4_size` in octets, header included.
Sum PseudoHeaderSum(const IpView& view, uint8_t protocol, uint32_t l4_size);

// The same for raw addresses, `address_size` 4 or 16.
Sum PseudoHeaderSum(const uint8_t* source, const uint8_t* destination, size_t address_size,
                    uint8_t protocol, uint32_t l4_size);

// Checksum after the 16-bit word `from` it covers became `to`; all in memory order (RFC 1624 eqn.
// 3).
inline uint16_t UpdateChecksum(uint16_t checksum, uint16_t from, uint16_t to) {
  const Sum sum = Sum{static_cast<uint16_t>(~checksum)} + static_cast<uint16_t>(~from) + to;
  return ChecksumOf(sum);
}

// Writes the header checksum of the IPv4 header of `header_size` octets.
void SetIpv4HeaderChecksum(uint8_t* header, size_t header_size);

// Is the checksum of the IPv4 header right? True for IPv6, which has none.
bool HeaderChecksumOk(const IpView& view);

// Is the TCP or UDP checksum of an unfragmented packet right? A UDP checksum of zero (none) is not.
bool L4ChecksumOk(const IpView& view);

}  // namespace cipe::packet
