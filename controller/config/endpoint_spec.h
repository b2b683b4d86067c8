// A carrier address as written in a configuration, before any name is resolved.
#pragma once

#include <cstdint>
#include <string>

namespace cipe::config {

// Host and port as written; `host` may be a name, an IPv4 address, or an IPv6 address without its
// brackets (with "%zone" when the file says so).
struct EndpointSpec {
  std::string host;
  uint16_t port = 0;
  std::string ToString() const;  // brackets around IPv6 are back
  friend bool operator==(const EndpointSpec&, const EndpointSpec&) = default;
};

}  // namespace cipe::config
