// Explicit congestion notification across the tunnel, RFC 6040: normal mode on entry, the full
// table on exit.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "packet/checksum.h"

namespace cipe::packet {

inline constexpr uint8_t kNotEct = 0;
inline constexpr uint8_t kEct1 = 1;
inline constexpr uint8_t kEct0 = 2;
inline constexpr uint8_t kCe = 3;
inline constexpr uint8_t kEcnMask = 3;

inline constexpr uint8_t kEcnDrop = 0xff;

// The outer field for an inner one (section 4.1: a copy).
inline constexpr uint8_t OuterEcn(uint8_t inner) { return inner & kEcnMask; }

// The inner field after decapsulation, or kEcnDrop (section 4.2, figure 4).
inline constexpr uint8_t DecapsulateEcn(uint8_t inner, uint8_t outer) {
  constexpr uint8_t kTable[4][4] = {
      // outer:  Not-ECT  ECT(1)   ECT(0)   CE
      /* Not-ECT */ {kNotEct, kNotEct, kNotEct, kEcnDrop},
      /* ECT(1)  */ {kEct1, kEct1, kEct1, kCe},
      /* ECT(0)  */ {kEct0, kEct1, kEct0, kCe},
      /* CE      */ {kCe, kCe, kCe, kCe},
  };
  return kTable[inner & kEcnMask][outer & kEcnMask];
}

// DSCP and ECN of an IP packet of at least 2 octets whose first nibble is 4 or 6.
inline uint8_t TrafficClassOf(const uint8_t* packet) {
  return (packet[0] >> 4) == 4 ? packet[1] : static_cast<uint8_t>(packet[0] << 4 | packet[1] >> 4);
}

// ECN field of an IP packet of at least 2 octets whose first nibble is 4 or 6.
inline uint8_t EcnOf(const uint8_t* packet) {
  return ((packet[0] >> 4) == 4 ? packet[1] : packet[1] >> 4) & kEcnMask;
}

// Writes the ECN field of a well-formed IP packet and mends the IPv4 header checksum incrementally,
// so that a checksum that was wrong stays wrong.
inline void SetEcn(uint8_t* packet, uint8_t ecn) {
  const uint16_t before = LoadLe16(packet);
  if ((packet[0] >> 4) == 6) {
    packet[1] = static_cast<uint8_t>((packet[1] & ~0x30) | (ecn << 4));
    return;
  }
  packet[1] = static_cast<uint8_t>((packet[1] & ~kEcnMask) | ecn);
  StoreLe16(packet + 10, UpdateChecksum(LoadLe16(packet + 10), before, LoadLe16(packet)));
}

// Carries the outer field over to a well-formed inner packet. False: drop it (rx_ecn_invalid);
// nothing was changed then.
inline bool ApplyOuterEcn(uint8_t* packet, uint8_t outer) {
  const uint8_t inner = EcnOf(packet);
  const uint8_t result = DecapsulateEcn(inner, outer);
  if (result == kEcnDrop) return false;
  if (result != inner) SetEcn(packet, result);
  return true;
}

}  // namespace cipe::packet
