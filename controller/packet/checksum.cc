#include "packet/checksum.h"

#include <cstring>

#include "base/bytes.h"

namespace cipe::packet {
namespace {

// Two carry chains of 64-bit words run side by side; 128 bits hold every carry until the end.
__extension__ using Wide = unsigned __int128;

Sum Narrow(Wide wide) {
  return AddSums(static_cast<uint64_t>(wide), static_cast<uint64_t>(wide >> 64));
}

}  // namespace

Sum SumOctets(const uint8_t* data, size_t size, Sum initial) {
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
