#include "packet/outer_header.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "packet/checksum.h"
#include "packet/ip_view.h"

namespace cipe::packet {

bool OuterHeader::Prepare(const OuterPath& path) {
  *this = OuterHeader();
  if (!path.source.is_set() || !path.destination.is_set()) return false;
  if (path.source.address.family != path.destination.address.family) return false;
  v6_ = path.source.address.is_v6();
  checksum_ = v6_ || path.udp4_checksum;
  uint8_t* p = bytes_.data();
  std::copy(path.destination_mac.begin(), path.destination_mac.end(), p);
  std::copy(path.source_mac.begin(), path.source_mac.end(), p + 6);
  p += 12;
  if (path.vlan != 0) {
    StoreBe16(p, 0x8100);
    StoreBe16(p + 2, path.vlan & 0x0fff);
    p += kVlanTagSize;
  }
  StoreBe16(p, v6_ ? 0x86dd : 0x0800);
  ip_offset_ = static_cast<size_t>(p + 2 - bytes_.data());
  v6_ ? PrepareIpv6(path) : PrepareIpv4(path);
  uint8_t* udp = bytes_.data() + ip_offset_ + (v6_ ? kIpv6HeaderSize : kIpv4HeaderSize);
  StoreBe16(udp, path.source.port);
  StoreBe16(udp + 2, path.destination.port);
  const size_t address_size = path.source.address.size();
  const Sum pseudo =
      PseudoHeaderSum(path.source.address.octets.data(), path.destination.address.octets.data(),
                      address_size, IPPROTO_UDP, 0);
  pseudo_sum_ = SumOctets(udp, 4, pseudo);
  size_ = static_cast<size_t>(udp + kUdpHeaderSize - bytes_.data());
  return true;
}

void OuterHeader::PrepareIpv4(const OuterPath& path) {
  uint8_t* ip = bytes_.data() + ip_offset_;
  ip[0] = 0x45;
  ip[1] = static_cast<uint8_t>(path.dscp << 2);
  StoreBe16(ip + 6, path.dont_fragment ? 0x4000 : 0);
  ip[8] = path.hop_limit;
  ip[9] = IPPROTO_UDP;
  std::memcpy(ip + 12, path.source.address.octets.data(), 4);
  std::memcpy(ip + 16, path.destination.address.octets.data(), 4);
  ip_sum_ = SumOctets(ip, kIpv4HeaderSize);
}

void OuterHeader::PrepareIpv6(const OuterPath& path) {
  uint8_t* ip = bytes_.data() + ip_offset_;
  StoreBe16(ip, static_cast<uint16_t>(0x6000 | (path.dscp & 0x3f) << 6));
  ip[6] = IPPROTO_UDP;
  ip[7] = path.hop_limit;
  std::memcpy(ip + 8, path.source.address.octets.data(), 16);
  std::memcpy(ip + 24, path.destination.address.octets.data(), 16);
}

size_t OuterHeader::MaxPayload(size_t mtu) const {
  const size_t headers = size_ - ip_offset_;
  return mtu > headers ? mtu - headers : 0;
}

void OuterHeader::Write(uint8_t* frame, size_t payload_size, const OuterFields& fields,
                        uint16_t id) const {
  std::memcpy(frame, bytes_.data(), size_);
  uint8_t* ip = frame + ip_offset_;
  const size_t udp_size = payload_size + kUdpHeaderSize;
  if (v6_) {
    ip[0] = static_cast<uint8_t>(ip[0] | fields.tos >> 4);
    ip[1] = static_cast<uint8_t>(ip[1] | fields.tos << 4);
    if (fields.ttl != 0) ip[7] = fields.ttl;
    StoreBe16(ip + 4, static_cast<uint16_t>(udp_size));
    return WriteUdp(ip + kIpv6HeaderSize, udp_size);
  }
  ip[1] = static_cast<uint8_t>(ip[1] | fields.tos);
  StoreBe16(ip + 2, static_cast<uint16_t>(udp_size + kIpv4HeaderSize));
  StoreBe16(ip + 4, id);
  if (fields.ttl != 0 || fields.may_fragment) {
    if (fields.ttl != 0) ip[8] = fields.ttl;
    if (fields.may_fragment) ip[6] &= 0xbf;
    StoreLe16(ip + 10, ChecksumOf(SumOctets(ip, kIpv4HeaderSize)));
  } else {
    // Only these three words differ from what ip_sum_ covers.
    const uint8_t added_tos = ip[1] ^ bytes_[ip_offset_ + 1];
    const Sum changed = Sum{LoadLe32(ip + 2)} + (Sum{added_tos} << 8);
    StoreLe16(ip + 10, ChecksumOf(AddSums(ip_sum_, changed)));
  }
  WriteUdp(ip + kIpv4HeaderSize, udp_size);
}

void OuterHeader::WriteUdp(uint8_t* udp, size_t udp_size) const {
  StoreBe16(udp + 4, static_cast<uint16_t>(udp_size));
  if (!checksum_) return;
  // The length counts twice: in the pseudo header and in the header itself.
  Sum sum = AddSums(pseudo_sum_, 2 * Sum{LoadLe16(udp + 4)});
  sum = SumOctets(udp + kUdpHeaderSize, udp_size - kUdpHeaderSize, sum);
  StoreLe16(udp + 6, NonZeroChecksumOf(sum));
}

}  // namespace cipe::packet
