// What differs from packet to packet in the outer IP header, whoever writes it.
#pragma once

#include <cstdint>

namespace cipe::packet {

struct OuterFields {
  uint8_t tos = 0;            // DSCP and ECN
  uint8_t ttl = 0;            // 0: the carrier's own
  bool may_fragment = false;  // IPv4: DF clear; false: as the carrier does it
  friend bool operator==(const OuterFields&, const OuterFields&) = default;
};

}  // namespace cipe::packet
