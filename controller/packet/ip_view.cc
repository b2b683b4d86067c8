#include "packet/ip_view.h"

namespace cipe::packet {
namespace {

bool IsExtension(uint8_t next_header) {
  return next_header == IPPROTO_HOPOPTS || next_header == IPPROTO_ROUTING ||
         next_header == IPPROTO_DSTOPTS || next_header == IPPROTO_FRAGMENT;
}

bool ParseIpv4(const uint8_t* p, size_t size, IpView* out) {
  if (size < kIpv4HeaderSize) return false;
  const size_t header = (p[0] & 0x0f) * size_t{4};
  const size_t total = LoadBe16(p + 2);
  if (header < kIpv4HeaderSize || total < header || total > size) return false;
  out->family = Family::kIpv4;
  out->total = static_cast<uint32_t>(total);
  out->l4_offset = static_cast<uint16_t>(header);
  out->protocol = p[9];
  out->fragment = (LoadBe16(p + 6) & 0x3fff) != 0;  // MF or an offset
  out->later_fragment = (LoadBe16(p + 6) & 0x1fff) != 0;
  return true;
}

bool ParseIpv6(const uint8_t* p, size_t size, IpView* out) {
  if (size < kIpv6HeaderSize) return false;
  const size_t total = kIpv6HeaderSize + LoadBe16(p + 4);
  // A superpacket of the kernel never exceeds 65535 octets here either (no BIG TCP on a TUN).
  if (total > size || total > kMaxPacket) return false;
  size_t offset = kIpv6HeaderSize;
  uint8_t next = p[6];
  // A jumbogram has payload length zero and a hop-by-hop header: it fails below for want of room.
  for (int i = 0; i < kMaxExtensionHeaders && IsExtension(next); ++i) {
    if (total - offset < 8) return false;
    const uint8_t* ext = p + offset;
    const bool fragment = next == IPPROTO_FRAGMENT;
    const size_t length = fragment ? 8 : (ext[1] + size_t{1}) * 8;
    if (total - offset < length) return false;
    next = ext[0];
    offset += length;
    if (!fragment) continue;
    out->fragment = true;
    out->later_fragment = (LoadBe16(ext + 2) & 0xfff8) != 0;
    if (out->later_fragment) break;  // what follows is the middle of something
  }
  out->family = Family::kIpv6;
  out->total = static_cast<uint32_t>(total);
  out->l4_offset = static_cast<uint16_t>(offset);
  out->protocol = next;
  return true;
}

}  // namespace

bool ParseIp(const uint8_t* packet, size_t size, IpView* out) {
  if (size == 0) return false;
  *out = IpView();
  out->packet = packet;
  switch (packet[0] >> 4) {
    case 4:
      return ParseIpv4(packet, size, out);
    case 6:
      return ParseIpv6(packet, size, out);
    default:
      return false;
  }
}

}  // namespace cipe::packet
