// Ethernet, IP and UDP headers in front of a frame that leaves through AF_XDP: everything that does
// not change from frame to frame is computed once per path.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/ip_address.h"
#include "packet/outer_fields.h"

namespace cipe::packet {

using MacAddress = std::array<uint8_t, 6>;

inline constexpr size_t kEthernetHeaderSize = 14;
inline constexpr size_t kVlanTagSize = 4;
inline constexpr size_t kMaxOuterHeader = kEthernetHeaderSize + kVlanTagSize + 40 + 8;

struct OuterPath {
  MacAddress source_mac{};
  MacAddress destination_mac{};
  uint16_t vlan = 0;  // 802.1Q tag, 0 for none
  Endpoint source;    // same family as destination
  Endpoint destination;
  uint8_t hop_limit = 64;
  uint8_t dscp = 0;            // 0..63
  bool dont_fragment = true;   // IPv4 only
  bool udp4_checksum = false;  // RFC 768 lets IPv4 go without; IPv6 always has one
};

class OuterHeader {
 public:
  OuterHeader() = default;
  // Both endpoints of `path` must be set and of one family; false otherwise.
  bool Prepare(const OuterPath& path);

  bool ready() const { return size_ != 0; }
  // Octets in front of the UDP payload, Ethernet included.
  size_t size() const { return size_; }
  // The largest UDP payload that fits an IP packet of `mtu` octets.
  size_t MaxPayload(size_t mtu) const;

  // Writes size() octets to `frame`; the UDP payload of `payload_size` octets must already stand at
  // frame + size() when a UDP checksum is wanted (always with IPv6). `payload_size` at most 65507
  // (IPv4) or 65527 (IPv6). `fields.tos` is joined with the path's DSCP. `id` is IPv4's
  // identification, which matters only where the packet may be fragmented (RFC 6864).
  void Write(uint8_t* frame, size_t payload_size, const OuterFields& fields, uint16_t id = 0) const;

 private:
  void PrepareIpv4(const OuterPath& path);
  void PrepareIpv6(const OuterPath& path);
  void WriteUdp(uint8_t* udp, size_t udp_size) const;

  std::array<uint8_t, kMaxOuterHeader> bytes_{};
  size_t size_ = 0;
  size_t ip_offset_ = 0;
  bool v6_ = false;
  bool checksum_ = false;
  uint64_t ip_sum_ = 0;      // of the IPv4 header with length, id, ECN and checksum zero
  uint64_t pseudo_sum_ = 0;  // of the pseudo header without the length, plus the ports
};

}  // namespace cipe::packet
