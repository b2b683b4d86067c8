// The CRC-32 of protocol 3: polynomial 0xEDB88320 (reflected), register starts at zero, no final
// inversion. Not zlib's: leading zero octets do not change it, and all-zero input gives zero.
// It protects against accidents only.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace cipe::classic {

// "123456789" gives 0x2DFD2D88.
uint32_t Crc32(absl::Span<const uint8_t> data);

}  // namespace cipe::classic
