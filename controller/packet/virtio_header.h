// The 10-octet header in front of every packet of a TUN with IFF_VNET_HDR, with the names that
// older <linux/virtio_net.h> and <linux/if_tun.h> lack. Fields are in the host's order
// (Documentation/networking/tuntap.rst, TUNSETVNETLE untouched; legacy virtio layout).
#pragma once

#include <linux/virtio_net.h>

#include <cstddef>
#include <cstdint>

namespace cipe::packet {

using VnetHeader = ::virtio_net_hdr;
static_assert(sizeof(VnetHeader) == 10);

inline constexpr uint8_t kVnetNeedsCsum = VIRTIO_NET_HDR_F_NEEDS_CSUM;
inline constexpr uint8_t kGsoNone = VIRTIO_NET_HDR_GSO_NONE;
inline constexpr uint8_t kGsoTcp4 = VIRTIO_NET_HDR_GSO_TCPV4;
inline constexpr uint8_t kGsoTcp6 = VIRTIO_NET_HDR_GSO_TCPV6;
inline constexpr uint8_t kGsoUdpL4 = 5;  // VIRTIO_NET_HDR_GSO_UDP_L4, Linux 6.2
inline constexpr uint8_t kGsoEcn = VIRTIO_NET_HDR_GSO_ECN;

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
