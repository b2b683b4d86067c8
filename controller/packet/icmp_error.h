// What a router says about packets that it cannot pass on: ICMP "fragmentation needed" (RFC 792,
// RFC 1191) and ICMPv6 "packet too big" (RFC 4443, 3.2) when one does not fit, and "destination
// unreachable" (RFC 792; RFC 4443, 3.1). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "packet/ip_view.h"

namespace cipe::packet {

// Room for any answer: RFC 4443 wants as much of the packet as fits 1280 octets.
inline constexpr size_t kMaxIcmpError = 1280;
using IcmpError = std::array<uint8_t, kMaxIcmpError>;

// Both write the answer to the sender of `view` and return its size, or 0 when the packet must not
// be answered (RFC 1122, 3.2.2 and RFC 4443, 2.4e): it is an ICMP error, or may be one for all
// that can be seen, a fragment but the first (of IPv6 only where it is ICMPv6), or comes from or
// goes to no single host. The answer has the packet's own destination as its source: that passes
// the kernel's reverse path filter, which an address of this host on a packet from outside does not
// (it counts as a martian).

// Says that `mtu` octets would fit. IPv6 is never told less than 1280, which RFC 8200 lets every
// path carry.
size_t BuildTooBig(const IpView& view, uint32_t mtu, IcmpError* out);

// Says that nobody there can be reached: "host unreachable", in IPv6 "address unreachable".
size_t BuildUnreachable(const IpView& view, IcmpError* out);

}  // namespace cipe::packet
