#include "packet/icmp_error.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/checksum.h"

namespace cipe::packet {
namespace {

constexpr size_t kIcmpHeaderSize = 8;
constexpr size_t kMost4 = 576;  // RFC 1812, 4.3.2.3
constexpr uint32_t kLeastIpv6Mtu = 1280;
constexpr uint8_t kHopLimit = 64;

// The first eight octets of an answer but its checksum.
struct Message {
  uint8_t type, code;
  uint32_t rest;
};

// RFC 792.
constexpr uint8_t kUnreachable4 = 3, kHostUnreachable = 1, kFragmentationNeeded = 4;
// RFC 4443.
constexpr uint8_t kUnreachable6 = 1, kAddressUnreachable = 3, kPacketTooBig = 2;

bool IsHost4(const uint8_t* a) { return a[0] != 0 && a[0] != 127 && a[0] < 224; }

bool IsHost6(const uint8_t* a) {
  static constexpr uint8_t kNoHost[15] = {};
  const bool loopback_or_none = std::memcmp(a, kNoHost, sizeof kNoHost) == 0 && a[15] <= 1;
  return a[0] != 0xff && !loopback_or_none;
}

bool IsError4(const IpView& view) {
  if (view.protocol != IPPROTO_ICMP) return false;
  if (view.l4_size() == 0) return true;
  const uint8_t type = view.l4()[0];
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool MayAnswer4(const IpView& view) {
  return !view.later_fragment && !IsError4(view) && IsHost4(view.source()) &&
         IsHost4(view.destination());
}

bool MayAnswer6(const IpView& view) {
  const bool icmp = view.protocol == IPPROTO_ICMPV6;
  // Errors have types below 128. Of a fragment in the middle the type cannot be seen; of the first
  // one it can, and a large ping's sender learns of the path by nothing but its answer.
  if (icmp && (view.later_fragment || view.l4_size() == 0 || view.l4()[0] < 128)) return false;
  return IsHost6(view.source()) && IsHost6(view.destination());
}

void StoreMessage(const Message& message, uint8_t* icmp) {
  icmp[0] = message.type;
  icmp[1] = message.code;
  StoreBe32(icmp + 4, message.rest);
}

size_t Build4(const IpView& view, const Message& message, uint8_t* out) {
  if (!MayAnswer4(view)) return 0;
  const size_t quoted = std::min<size_t>(view.total, kMost4 - kIpv4HeaderSize - kIcmpHeaderSize);
  const size_t size = kIpv4HeaderSize + kIcmpHeaderSize + quoted;
  std::memset(out, 0, kIpv4HeaderSize + kIcmpHeaderSize);
  out[0] = 0x45;
  out[1] = 0xc0;  // internetwork control, as routers send errors (RFC 1812, 4.3.2.5)
  StoreBe16(out + 2, static_cast<uint16_t>(size));
  out[8] = kHopLimit;
  out[9] = IPPROTO_ICMP;
  std::memcpy(out + 12, view.destination(), 4);
  std::memcpy(out + 16, view.source(), 4);
  SetIpv4HeaderChecksum(out, kIpv4HeaderSize);
  uint8_t* icmp = out + kIpv4HeaderSize;
  StoreMessage(message, icmp);
  std::memcpy(icmp + kIcmpHeaderSize, view.packet, quoted);
  StoreLe16(icmp + 2, ChecksumOf(SumOctets(icmp, kIcmpHeaderSize + quoted)));
  return size;
}

size_t Build6(const IpView& view, const Message& message, uint8_t* out) {
  if (!MayAnswer6(view)) return 0;
  const size_t quoted =
      std::min<size_t>(view.total, kMaxIcmpError - kIpv6HeaderSize - kIcmpHeaderSize);
  const size_t payload = kIcmpHeaderSize + quoted;
  std::memset(out, 0, kIpv6HeaderSize + kIcmpHeaderSize);
  out[0] = 0x60;
  StoreBe16(out + 4, static_cast<uint16_t>(payload));
  out[6] = IPPROTO_ICMPV6;
  out[7] = kHopLimit;
  std::memcpy(out + 8, view.destination(), 16);
  std::memcpy(out + 24, view.source(), 16);
  uint8_t* icmp = out + kIpv6HeaderSize;
  StoreMessage(message, icmp);
  std::memcpy(icmp + kIcmpHeaderSize, view.packet, quoted);
  const Sum pseudo =
      PseudoHeaderSum(out + 8, out + 24, 16, IPPROTO_ICMPV6, static_cast<uint32_t>(payload));
  StoreLe16(icmp + 2, ChecksumOf(SumOctets(icmp, payload, pseudo)));
  return kIpv6HeaderSize + payload;
}

}  // namespace

size_t BuildTooBig(const IpView& view, uint32_t mtu, IcmpError* out) {
  if (!view.is_v4()) {
    return Build6(view, {kPacketTooBig, 0, std::max(mtu, kLeastIpv6Mtu)}, out->data());
  }
  const uint32_t told = std::min<uint32_t>(mtu, UINT16_MAX);
  return Build4(view, {kUnreachable4, kFragmentationNeeded, told}, out->data());
}

size_t BuildUnreachable(const IpView& view, IcmpError* out) {
  if (!view.is_v4()) return Build6(view, {kUnreachable6, kAddressUnreachable, 0}, out->data());
  return Build4(view, {kUnreachable4, kHostUnreachable, 0}, out->data());
}

}  // namespace cipe::packet
