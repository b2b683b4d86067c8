#include "classic/crc32.h"

#include <array>

#include "base/bytes.h"

namespace cipe::classic {
namespace {

constexpr uint32_t kPolynomial = 0xEDB88320;
constexpr int kSlices = 8;

// tables[k][b]: what octet b leaves in the register after k more zero octets.
constexpr auto MakeTables() {
  std::array<std::array<uint32_t, 256>, kSlices> tables{};
  for (uint32_t octet = 0; octet < 256; ++octet) {
    uint32_t crc = octet;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][octet] = crc;
  }
  for (int slice = 1; slice < kSlices; ++slice) {
    for (uint32_t octet = 0; octet < 256; ++octet) {
      const uint32_t before = tables[slice - 1][octet];
      tables[slice][octet] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr auto kTables = MakeTables();

}  // namespace

uint32_t Crc32(absl::Span<const uint8_t> data) {
  const uint8_t* p = data.data();
  size_t left = data.size();
  uint32_t crc = 0;
  for (; left >= 8; left -= 8, p += 8) {
    const uint64_t v = LoadLe64(p) ^ crc;
    crc = 0;
    for (int i = 0; i < 8; ++i) crc ^= kTables[7 - i][(v >> (8 * i)) & 0xff];
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ *p) & 0xff];
  return crc;
}

}  // namespace cipe::classic
