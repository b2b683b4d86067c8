// Packets of protocol 3 (version letter c), octet by octet:
//
//   IV (8, clear, bit 7 of octet 0 = key flag) | payload | padding (0..7) | trailer | CRC-32 (4)
//
// Everything after the vector is encrypted, a multiple of 8 octets. The trailer holds the padding's
// length in bits 6..4 and the type in bits 2..1. No version, length, sequence number or address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "base/rng.h"

namespace cipe::classic {

enum class PacketType : uint8_t { kData = 0, kNewKey = 2, kControl = 4, kReserved = 6 };

inline constexpr size_t kIvSize = 8;
inline constexpr size_t kTrailerSize = 5;  // trailer octet and CRC
inline constexpr size_t kLeastPacket = 16;
inline constexpr size_t kMostPacket = 65504;  // the greatest multiple of 8 in a UDP payload
inline constexpr size_t kMostOverhead = kIvSize + 7 + kTrailerSize;
inline constexpr uint8_t kKeyFlag = 0x80;

inline constexpr size_t PaddingOf(size_t payload_size) { return (3 - payload_size) & 7; }
inline constexpr size_t SealedSize(size_t payload_size) {
  return kIvSize + payload_size + PaddingOf(payload_size) + kTrailerSize;
}

// Lays the packet out in clear, key flag 0, at `out` (SealedSize octets). `payload` may already
// stand at out + kIvSize. Returns the size. The encryption is Link's.
uint32_t Assemble(PacketType type, absl::Span<const uint8_t> payload, Rng& rng, uint8_t* out);

inline bool HasKeyFlag(const uint8_t* packet) { return (packet[0] & kKeyFlag) != 0; }

// 0, or the drop reason: what can be said of a packet before decryption.
int CheckLength(size_t size);

struct Disassembled {
  PacketType type = PacketType::kData;
  uint8_t* payload = nullptr;  // within the packet
  uint32_t size = 0;           // octets, padding and trailer cut
};
// Of a decrypted packet whose length was checked. 0, or the drop reason; on a reason `*out` is
// untouched.
int Disassemble(uint8_t* packet, size_t size, Disassembled* out);

}  // namespace cipe::classic
