#include "classic/packet.h"

#include <array>
#include <cstring>

#include "base/bytes.h"
#include "cipe/abi/drop_reasons.h"
#include "classic/crc32.h"

namespace cipe::classic {
namespace {

constexpr uint8_t kTypeMask = 6;
constexpr size_t kCrcSize = 4;

}  // namespace

uint32_t Assemble(PacketType type, absl::Span<const uint8_t> payload, Rng& rng, uint8_t* out) {
  const size_t padding = PaddingOf(payload.size());
  std::array<uint8_t, kIvSize + 7> random;
  rng.Fill(absl::MakeSpan(random).first(kIvSize + padding));
  uint8_t* p = out + kIvSize;
  if (!payload.empty()) std::memmove(p, payload.data(), payload.size());
  std::memcpy(out, random.data(), kIvSize);
  out[0] &= static_cast<uint8_t>(~kKeyFlag);
  p += payload.size();
  std::memcpy(p, random.data() + kIvSize, padding);
  p += padding;
  *p++ = static_cast<uint8_t>(padding << 4 | static_cast<uint8_t>(type));
  StoreBe32(p, Crc32(absl::MakeConstSpan(out + kIvSize, p)));
  return static_cast<uint32_t>(p + kCrcSize - out);
}

int CheckLength(size_t size) {
  const bool good = size >= kLeastPacket && size <= kMostPacket && size % kIvSize == 0;
  return good ? 0 : cipe_drop_rx_classic_length;
}

int Disassemble(uint8_t* packet, size_t size, Disassembled* out) {
  const size_t covered = size - kIvSize - kCrcSize;
  if (Crc32(absl::MakeConstSpan(packet + kIvSize, covered)) != LoadBe32(packet + size - kCrcSize)) {
    return cipe_drop_rx_classic_crc;
  }
  const uint8_t trailer = packet[size - kTrailerSize];
  const auto type = static_cast<PacketType>(trailer & kTypeMask);
  if (type == PacketType::kReserved) return cipe_drop_rx_classic_type;
  const size_t padding = (trailer >> 4) & 7;
  if (size < kIvSize + padding + kTrailerSize) return cipe_drop_rx_classic_length;
  out->type = type;
  out->payload = packet + kIvSize;
  out->size = static_cast<uint32_t>(size - kIvSize - padding - kTrailerSize);
  return 0;
}

}  // namespace cipe::classic
