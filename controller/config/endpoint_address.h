// Which addresses can be a peer's endpoint, and which a host's inside a tunnel.
#pragma once

#include <string>

#include "base/ip_address.h"

namespace cipe::config {

// Why no single host can be reached at this address, as the end of a sentence ("is a multicast
// address"); empty when one may be. Refused: the unspecified addresses, IPv4's "this network" and
// reserved blocks (RFC 6890), multicast (RFC 5771, RFC 4291), the limited broadcast address, and
// IPv4 addresses in IPv6 clothes (RFC 4291 section 2.5.5), which no socket of ours can send to.
std::string WhyNoHost(const IpAddress& address);

// The same of an address inside a tunnel: none that means this host to every host, either.
std::string WhyNoInnerHost(const IpAddress& address);

}  // namespace cipe::config
