// What one needs to know of an IP packet, read once: lengths, protocol, addresses. Points into the
// packet, allocates nothing.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/ip_address.h"

namespace cipe::packet {

inline constexpr size_t kIpv4HeaderSize = 20;
inline constexpr size_t kIpv6HeaderSize = 40;
inline constexpr size_t kTcpHeaderSize = 20;
inline constexpr size_t kUdpHeaderSize = 8;
inline constexpr size_t kMaxPacket = 65535;
inline constexpr int kMaxExtensionHeaders = 8;  // more of them are taken for an unknown protocol

struct IpView {
  const uint8_t* packet = nullptr;
  uint32_t total = 0;      // the packet's own length, octets; what follows in the buffer is padding
  uint16_t l4_offset = 0;  // after IPv4 options or IPv6 extension headers
  uint8_t protocol = 0;    // IPPROTO_*, after extension headers; of a fragment, the fragmented one
  Family family = Family::kNone;
  bool fragment = false;        // any fragment, the first one included (an IPv6 atomic one too)
  bool later_fragment = false;  // any but the first: no header of `protocol` is in it

  bool is_v4() const { return family == Family::kIpv4; }
  size_t address_size() const { return is_v4() ? 4 : 16; }
  const uint8_t* source() const { return packet + (is_v4() ? 12 : 8); }
  const uint8_t* destination() const { return packet + (is_v4() ? 16 : 24); }
  const uint8_t* l4() const { return packet + l4_offset; }
  uint32_t l4_size() const { return total - l4_offset; }
  IpAddress source_address() const { return Address(source()); }
  IpAddress destination_address() const { return Address(destination()); }
  // DSCP and ECN in one octet, as in IPv4's TOS.
  uint8_t traffic_class() const {
    return is_v4() ? packet[1] : static_cast<uint8_t>(LoadBe16(packet) >> 4);
  }
  uint8_t hop_limit() const { return is_v4() ? packet[8] : packet[7]; }

 private:
  IpAddress Address(const uint8_t* p) const {
    return is_v4() ? IpAddress::V4(p) : IpAddress::V6(p);
  }
};

// False for what is no well-formed IPv4 (RFC 791) or IPv6 (RFC 8200) packet: wrong version, header
// or total length that does not fit `size`, an extension header that runs out of the packet. Octets
// after the packet's own length are legal padding and not in `total`. IPv4 header checksums are not
// verified (checksum.h does), jumbograms (RFC 2675) are refused. `out` is undefined on false.
bool ParseIp(const uint8_t* packet, size_t size, IpView* out);

}  // namespace cipe::packet
