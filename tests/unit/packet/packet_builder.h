// Packets for the tests, and a deliberately slow second opinion on checksums, segmentation and vnet
// headers. Uses nothing of controller/packet but the vnet header struct and constants.
#pragma once

#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "packet/virtio_header.h"

namespace cipe::packet {

using Bytes = std::vector<uint8_t>;

inline void Put16(Bytes* b, size_t at, unsigned v) {
  (*b)[at] = static_cast<uint8_t>(v >> 8);
  (*b)[at + 1] = static_cast<uint8_t>(v);
}
inline void Put32(Bytes* b, size_t at, uint32_t v) {
  Put16(b, at, v >> 16);
  Put16(b, at + 2, v & 0xffff);
}
inline unsigned Get16(const Bytes& b, size_t at) { return b[at] << 8 | b[at + 1]; }
inline uint32_t Get32(const Bytes& b, size_t at) { return Get16(b, at) << 16 | Get16(b, at + 2); }

// RFC 1071 one word at a time; the result in network order as a number, not complemented.
inline unsigned NaiveSum(const Bytes& b, size_t from, size_t to, unsigned sum = 0) {
  for (size_t i = from; i < to; i += 2) {
    sum += b[i] << 8 | (i + 1 < to ? b[i + 1] : 0);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

struct Spec {
  bool v6 = false;
  bool tcp = true;
  size_t payload = 100;
  uint8_t fill = 0;  // payload octet i is fill + i * 7
  uint32_t seq = 1;
  uint32_t ack = 77;
  uint8_t flags = kTcpAck;
  uint16_t window = 500;
  Bytes options;  // TCP
  Bytes ip_options;
  uint16_t id = 1;
  bool df = true;
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t source_port = 1000;
  uint16_t destination_port = 2000;
  uint8_t host = 1;  // last octet of the source address
};

inline size_t L4Offset(const Bytes& p) { return (p[0] >> 4) == 4 ? (p[0] & 15) * 4u : 40; }
inline bool PacketIsTcp(const Bytes& p) { return p[(p[0] >> 4) == 4 ? 9 : 6] == IPPROTO_TCP; }

inline unsigned NaivePseudo(const Bytes& p, size_t l4_size) {
  const bool v4 = (p[0] >> 4) == 4;
  const unsigned addresses = v4 ? NaiveSum(p, 12, 20) : NaiveSum(p, 8, 40);
  unsigned sum = addresses + (PacketIsTcp(p) ? 6 : 17) + static_cast<unsigned>(l4_size);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

// Sets lengths and every checksum.
inline void Complete(Bytes* p) {
  const size_t l4 = L4Offset(*p);
  if (((*p)[0] >> 4) == 4) {
    Put16(p, 2, static_cast<unsigned>(p->size()));
    Put16(p, 10, 0);
    Put16(p, 10, ~NaiveSum(*p, 0, l4) & 0xffff);
  } else {
    Put16(p, 4, static_cast<unsigned>(p->size() - 40));
  }
  const bool tcp = PacketIsTcp(*p);
  if (!tcp) Put16(p, l4 + 4, static_cast<unsigned>(p->size() - l4));
  const size_t field = l4 + (tcp ? 16 : 6);
  Put16(p, field, 0);
  const unsigned sum = NaiveSum(*p, l4, p->size(), NaivePseudo(*p, p->size() - l4));
  Put16(p, field, (~sum & 0xffff) == 0 ? 0xffff : ~sum & 0xffff);
}

inline Bytes Build(const Spec& s) {
  Bytes p(s.v6 ? 40 : 20 + s.ip_options.size());
  if (s.v6) {
    p[0] = static_cast<uint8_t>(0x60 | s.tos >> 4);
    p[1] = static_cast<uint8_t>(s.tos << 4 | 0x5);
    p[6] = s.tcp ? IPPROTO_TCP : IPPROTO_UDP;
    p[7] = s.ttl;
    p[8] = p[24] = 0xfd;
    p[23] = s.host;
    p[39] = 99;
  } else {
    p[0] = static_cast<uint8_t>(0x40 | p.size() / 4);
    p[1] = s.tos;
    Put16(&p, 4, s.id);
    p[6] = s.df ? 0x40 : 0;
    p[8] = s.ttl;
    p[9] = s.tcp ? IPPROTO_TCP : IPPROTO_UDP;
    Put32(&p, 12, 0x0a000000u | s.host);
    Put32(&p, 16, 0x0a0100ffu);
    std::copy(s.ip_options.begin(), s.ip_options.end(), p.begin() + 20);
  }
  const size_t l4 = p.size();
  p.resize(l4 + (s.tcp ? 20 + s.options.size() : 8));
  Put16(&p, l4, s.source_port);
  Put16(&p, l4 + 2, s.destination_port);
  if (s.tcp) {
    Put32(&p, l4 + 4, s.seq);
    Put32(&p, l4 + 8, s.ack);
    p[l4 + 12] = static_cast<uint8_t>((20 + s.options.size()) / 4 << 4);
    p[l4 + 13] = s.flags;
    Put16(&p, l4 + 14, s.window);
    std::copy(s.options.begin(), s.options.end(), p.begin() + static_cast<long>(l4) + 20);
  }
  for (size_t i = 0; i < s.payload; ++i) p.push_back(static_cast<uint8_t>(s.fill + i * 7));
  Complete(&p);
  return p;
}

// Empty when lengths and all checksums of the packet are right, else what is wrong.
inline std::string NaiveCheck(const Bytes& p) {
  const bool v4 = (p[0] >> 4) == 4;
  const size_t l4 = L4Offset(p);
  if (v4 && Get16(p, 2) != p.size()) return "IPv4 total length";
  if (!v4 && Get16(p, 4) + 40 != p.size()) return "IPv6 payload length";
  if (v4 && NaiveSum(p, 0, l4) != 0xffff) return "IPv4 header checksum";
  const bool tcp = PacketIsTcp(p);
  if (!tcp && Get16(p, l4 + 4) != p.size() - l4) return "UDP length";
  if (Get16(p, l4 + (tcp ? 16 : 6)) == 0) return "no checksum";
  if (NaiveSum(p, l4, p.size(), NaivePseudo(p, p.size() - l4)) != 0xffff) return "L4 checksum";
  return "";
}

// What a kernel asks of a vnet header written to a TUN (virtio_net_hdr_to_skb and the GSO code
// behind it, Linux 6.1 to 6.18). Empty, or the reason for EINVAL or for a silent drop later.
inline std::string KernelRefuses(const VnetHeader& h, const Bytes& p) {
  if (h.gso_type == kGsoNone && h.flags == 0) return "";
  const size_t l4 = L4Offset(p);
  const bool v4 = (p[0] >> 4) == 4;
  const bool tcp = PacketIsTcp(p);
  const unsigned type = h.gso_type & ~kGsoEcn;
  if (h.flags != kVnetNeedsCsum) return "no NEEDS_CSUM";
  if (type != (tcp ? (v4 ? kGsoTcp4 : kGsoTcp6) : kGsoUdpL4)) return "gso_type";
  if ((h.gso_type & kGsoEcn) != 0 && (!tcp || !(p[l4 + 13] & kTcpCwr))) return "ECN without CWR";
  if (h.csum_start != l4) return "csum_start";
  if (h.csum_offset != (tcp ? 16 : 6)) return "csum_offset";
  const size_t header = l4 + (tcp ? (p[l4 + 12] >> 4) * 4u : 8u);
  if (h.hdr_len != header || header > p.size()) return "hdr_len";
  if (h.gso_size == 0 || p.size() - header <= h.gso_size) return "gso_size";
  if (v4 && NaiveSum(p, 0, l4) != 0xffff) return "IPv4 header checksum";
  if ((v4 ? Get16(p, 2) : Get16(p, 4) + 40) != p.size()) return "total length";
  if (!tcp && Get16(p, l4 + 4) != p.size() - l4) return "UDP length";
  if (Get16(p, l4 + h.csum_offset) % 0xffff != NaivePseudo(p, p.size() - l4) % 0xffff) {
    return "partial checksum";
  }
  return "";
}

// Segmentation by copying: what must leave for a superpacket.
inline std::vector<Bytes> NaiveSegments(const VnetHeader& h, const Bytes& p) {
  if (h.gso_type == kGsoNone) return {p};
  const size_t l4 = L4Offset(p);
  const bool tcp = PacketIsTcp(p);
  const size_t header = l4 + (tcp ? (p[l4 + 12] >> 4) * 4u : 8u);
  std::vector<Bytes> out;
  for (size_t at = header; at < p.size(); at += h.gso_size) {
    const size_t end = std::min(p.size(), at + h.gso_size);
    Bytes s(p.begin(), p.begin() + static_cast<long>(header));
    s.insert(s.end(), p.begin() + static_cast<long>(at), p.begin() + static_cast<long>(end));
    if ((p[0] >> 4) == 4) Put16(&s, 4, (Get16(p, 4) + out.size()) & 0xffff);
    if (tcp) {
      Put32(&s, l4 + 4, Get32(p, l4 + 4) + static_cast<uint32_t>(at - header));
      if (end != p.size()) s[l4 + 13] &= static_cast<uint8_t>(~(kTcpFin | kTcpPsh));
      if (at != header) s[l4 + 13] &= static_cast<uint8_t>(~kTcpCwr);
    }
    Complete(&s);
    out.push_back(s);
  }
  return out;
}

// The vnet header and partial checksum with which a kernel would hand out `p` as a superpacket.
inline VnetHeader MakeSuper(Bytes* p, uint16_t gso_size) {
  const size_t l4 = L4Offset(*p);
  const bool tcp = PacketIsTcp(*p);
  VnetHeader h;
  h.flags = kVnetNeedsCsum;
  h.gso_type = !tcp ? kGsoUdpL4 : ((*p)[0] >> 4) == 4 ? kGsoTcp4 : kGsoTcp6;
  if (tcp && ((*p)[l4 + 13] & kTcpCwr)) h.gso_type |= kGsoEcn;
  h.hdr_len = 128;  // the linear part, as a kernel would say
  h.gso_size = gso_size;
  h.csum_start = static_cast<uint16_t>(l4);
  h.csum_offset = tcp ? 16 : 6;
  Put16(p, l4 + h.csum_offset, NaivePseudo(*p, p->size() - l4));
  return h;
}

}  // namespace cipe::packet
