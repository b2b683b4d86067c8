// Fixed-width integers in octet strings. The byte order is in the name; nothing here allocates.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

static_assert(std::endian::native == std::endian::little, "the loads below assume little endian");

namespace cipe {

template <typename T>
T LoadLe(const uint8_t* p) {
  static_assert(std::is_unsigned_v<T>);
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename T>
void StoreLe(uint8_t* p, T v) {
  static_assert(std::is_unsigned_v<T>);
  std::memcpy(p, &v, sizeof v);
}

inline uint16_t SwapBytes(uint16_t v) { return __builtin_bswap16(v); }
inline uint32_t SwapBytes(uint32_t v) { return __builtin_bswap32(v); }
inline uint64_t SwapBytes(uint64_t v) { return __builtin_bswap64(v); }

template <typename T>
T LoadBe(const uint8_t* p) {
  return SwapBytes(LoadLe<T>(p));
}

template <typename T>
void StoreBe(uint8_t* p, T v) {
  StoreLe<T>(p, SwapBytes(v));
}

inline uint16_t LoadLe16(const uint8_t* p) { return LoadLe<uint16_t>(p); }
inline uint32_t LoadLe32(const uint8_t* p) { return LoadLe<uint32_t>(p); }
inline uint64_t LoadLe64(const uint8_t* p) { return LoadLe<uint64_t>(p); }
inline uint16_t LoadBe16(const uint8_t* p) { return LoadBe<uint16_t>(p); }
inline uint32_t LoadBe32(const uint8_t* p) { return LoadBe<uint32_t>(p); }
inline uint64_t LoadBe64(const uint8_t* p) { return LoadBe<uint64_t>(p); }
inline void StoreLe16(uint8_t* p, uint16_t v) { StoreLe(p, v); }
inline void StoreLe32(uint8_t* p, uint32_t v) { StoreLe(p, v); }
inline void StoreLe64(uint8_t* p, uint64_t v) { StoreLe(p, v); }
inline void StoreBe16(uint8_t* p, uint16_t v) { StoreBe(p, v); }
inline void StoreBe32(uint8_t* p, uint32_t v) { StoreBe(p, v); }
inline void StoreBe64(uint8_t* p, uint64_t v) { StoreBe(p, v); }

}  // namespace cipe
