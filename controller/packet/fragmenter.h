// Cuts an IPv4 packet that may be cut (DF clear) into fragments (RFC 791, 3.2). Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/ip_view.h"

namespace cipe::packet {

class Fragmenter {
 public:
  // `packet` must live until Next has returned 0. False: it may not be cut (IPv6, DF), or `mtu` has
  // no room for the header and 8 octets.
  bool Start(const IpView& packet, uint32_t mtu);

  // Writes the next fragment to `out` (`mtu` octets) and returns its size; 0: there was none left.
  // A packet that is a fragment itself is cut further. Options that are not to be copied stand in
  // the first fragment only.
  uint32_t Next(uint8_t* out);

 private:
  uint32_t PutHeader(uint8_t* out) const;

  IpView packet_;
  uint32_t mtu_ = 0;
  uint32_t done_ = 0;  // octets of the payload
};

}  // namespace cipe::packet
