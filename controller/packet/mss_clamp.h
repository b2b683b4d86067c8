// Lowers the maximum segment size that a TCP SYN announces (RFC 9293, 3.7.1), so that segments fit
// a tunnel whose MTU the far ends do not know of. Pure; changes nothing but the option and the
// checksum.
#pragma once

#include <cstdint>

#include "packet/ip_view.h"
#include "packet/virtio_header.h"

namespace cipe::packet {

// Worth a call of ClampMss? `view` is any well-formed packet. One test of a flag for TCP, none
// else.
inline bool IsTcpSyn(const IpView& view) {
  return view.protocol == IPPROTO_TCP && !view.fragment && view.l4_size() >= kTcpHeaderSize &&
         (view.l4()[13] & kTcpSyn) != 0;
}

// `view` is of `packet`, a TCP SYN that is no fragment, whose checksum is complete. Afterwards no
// segment of `mtu` octets or more (IP header included) is asked for; what asks for less stays as it
// is, and so does a SYN without the option (then 536 or 1220 octets hold, RFC 9293) or with options
// that run out of the header. The checksum is mended incrementally (RFC 1624): one that was wrong
// stays wrong. Returns whether something was changed.
bool ClampMss(uint8_t* packet, const IpView& view, uint32_t mtu);

}  // namespace cipe::packet
