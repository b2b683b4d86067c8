// The 10-octet header in front of every packet of a TUN with IFF_VNET_HDR: struct virtio_net_hdr of
// <linux/virtio_net.h>, which no C++ compiler takes (a member is called `class`) and which lacks
// UDP_L4 in older versions. Fields are in the host's order (tun(4) without TUNSETVNETLE,
// virtio 1.2 5.1.6).
#pragma once

#include <cstddef>
#include <cstdint>

namespace cipe::packet {

struct VnetHeader {
  uint8_t flags = 0;         // kVnet*
  uint8_t gso_type = 0;      // kGso*
  uint16_t hdr_len = 0;      // IP and L4 headers; what the kernel gives is only a hint
  uint16_t gso_size = 0;     // payload octets per segment
  uint16_t csum_start = 0;   // with kVnetNeedsCsum: where the sum starts,
  uint16_t csum_offset = 0;  // and where its checksum goes, from csum_start
};
static_assert(sizeof(VnetHeader) == 10 && alignof(VnetHeader) == 2);

inline constexpr uint8_t kVnetNeedsCsum = 1;
inline constexpr uint8_t kGsoNone = 0;
inline constexpr uint8_t kGsoTcp4 = 1;
inline constexpr uint8_t kGsoTcp6 = 4;
inline constexpr uint8_t kGsoUdpL4 = 5;  // Linux 6.2
inline constexpr uint8_t kGsoEcn = 0x80;

inline constexpr uint16_t kTcpChecksumOffset = 16;
inline constexpr uint16_t kUdpChecksumOffset = 6;

inline constexpr uint8_t kTcpFin = 0x01;
inline constexpr uint8_t kTcpSyn = 0x02;
inline constexpr uint8_t kTcpRst = 0x04;
inline constexpr uint8_t kTcpPsh = 0x08;
inline constexpr uint8_t kTcpAck = 0x10;
inline constexpr uint8_t kTcpUrg = 0x20;
inline constexpr uint8_t kTcpEce = 0x40;
inline constexpr uint8_t kTcpCwr = 0x80;

}  // namespace cipe::packet
