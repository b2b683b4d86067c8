#include "packet/checksum.h"

#include <array>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/bytes.h"

namespace cipe::packet {
namespace {

// Two carry chains of 64-bit words run side by side; 128 bits hold every carry until the end.
__extension__ using Wide = unsigned __int128;

Sum Narrow(Wide wide) {
  return AddSums(static_cast<uint64_t>(wide), static_cast<uint64_t>(wide >> 64));
}

#ifdef __x86_64__
// Below this the set-up costs more than it saves.
constexpr size_t kWideMin = 128;
const bool kHaveAvx2 = __builtin_cpu_supports("avx2") != 0;

// `size` is a multiple of 64. 32-bit words are added up in 64-bit lanes, which cannot overflow for
// anything shorter than 16 GB, so no carry has to be followed: that chain is what limits the other
// road.
__attribute__((target("avx2"))) Sum SumBlocksAvx2(const uint8_t* data, size_t size) {
  const __m256i low = _mm256_set1_epi64x(0xffffffff);
  __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
  for (const uint8_t* end = data + size; data != end; data += 64) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + 32));
    a = _mm256_add_epi64(a, _mm256_and_si256(v, low));
    b = _mm256_add_epi64(b, _mm256_srli_epi64(v, 32));
    c = _mm256_add_epi64(c, _mm256_and_si256(w, low));
    d = _mm256_add_epi64(d, _mm256_srli_epi64(w, 32));
  }
  alignas(32) std::array<uint64_t, 4> lanes;
  const __m256i all = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes.data()), all);
  return AddSums(AddSums(lanes[0], lanes[1]), AddSums(lanes[2], lanes[3]));
}
#endif

}  // namespace

Sum SumOctets(const uint8_t* data, size_t size, Sum initial) {
#ifdef __x86_64__
  if (size >= kWideMin && kHaveAvx2) {
    const size_t wide = size & ~size_t{63};
    initial = AddSums(initial, SumBlocksAvx2(data, wide));
    data += wide;
    size -= wide;
  }
#endif
  Wide a = initial;
  Wide b = 0;
  for (; size >= 32; size -= 32, data += 32) {
    a += LoadLe64(data);
    b += LoadLe64(data + 8);
    a += LoadLe64(data + 16);
    b += LoadLe64(data + 24);
  }
  for (; size >= 8; size -= 8, data += 8) a += LoadLe64(data);
  uint64_t rest = 0;
  if (size != 0) std::memcpy(&rest, data, size);
  return Narrow(a + b + rest);
}

Sum PseudoHeaderSum(const uint8_t* source, const uint8_t* destination, size_t address_size,
                    uint8_t protocol, uint32_t l4_size) {
  Sum sum = SumOctets(source, address_size);
  sum = SumOctets(destination, address_size, sum);
  // Both as 32-bit network order words; their upper and lower halves fold to the same sum.
  sum = AddSums(sum, SwapBytes(uint32_t{protocol}));
  return AddSums(sum, SwapBytes(l4_size));
}

Sum PseudoHeaderSum(const IpView& view, uint8_t protocol, uint32_t l4_size) {
  return PseudoHeaderSum(view.source(), view.destination(), view.address_size(), protocol, l4_size);
}

void SetIpv4HeaderChecksum(uint8_t* header, size_t header_size) {
  StoreLe16(header + 10, 0);
  StoreLe16(header + 10, ChecksumOf(SumOctets(header, header_size)));
}

bool HeaderChecksumOk(const IpView& view) {
  if (!view.is_v4()) return true;
  return FoldSum(SumOctets(view.packet, view.l4_offset)) == 0xffff;
}

bool L4ChecksumOk(const IpView& view) {
  if (view.fragment) return false;
  const bool udp = view.protocol == IPPROTO_UDP;
  if (!udp && view.protocol != IPPROTO_TCP) return false;
  if (view.l4_size() < (udp ? kUdpHeaderSize : kTcpHeaderSize)) return false;
  if (udp && LoadLe16(view.l4() + 6) == 0) return false;
  const Sum sum = PseudoHeaderSum(view, view.protocol, view.l4_size());
  return FoldSum(SumOctets(view.l4(), view.l4_size(), sum)) == 0xffff;
}

}  // namespace cipe::packet
