// IP addresses, prefixes and UDP endpoints, IPv4 and IPv6 alike: plain values without I/O.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cipe {

enum class Family : uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

// Octets in network order; an IPv4 address uses the first four, the rest are zero.
struct IpAddress {
  Family family = Family::kNone;
  std::array<uint8_t, 16> octets{};

  static IpAddress V4(const uint8_t* four);
  static IpAddress V6(const uint8_t* sixteen);
  // "192.0.2.1", "2001:db8::1". InvalidArgument names the text.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);

  bool is_v4() const { return family == Family::kIpv4; }
  bool is_v6() const { return family == Family::kIpv6; }
  bool is_set() const { return family != Family::kNone; }
  bool is_unspecified() const;
  bool is_link_local() const;
  int bits() const { return is_v4() ? 32 : 128; }
  size_t size() const { return is_v4() ? 4 : 16; }
  std::string ToString() const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine(std::move(h), a.family, a.octets);
  }
};

struct IpPrefix {
  IpAddress address;
  int length = 0;  // bits

  // "10.0.0.0/8"; without "/n" the whole address. Host bits are kept as written.
  static absl::StatusOr<IpPrefix> Parse(absl::string_view text);
  IpPrefix Masked() const;
  bool Contains(const IpAddress& other) const;
  std::string ToString() const;

  friend auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;      // host order
  uint32_t scope_id = 0;  // interface index for IPv6 link-local addresses, else 0

  // "192.0.2.1:6789", "[2001:db8::1]:6789", "[fe80::1%2]:6789". Names are not resolved.
  static absl::StatusOr<Endpoint> Parse(absl::string_view text);
  static Endpoint FromSockaddr(const sockaddr_storage& sa);
  socklen_t ToSockaddr(sockaddr_storage* sa) const;
  bool is_set() const { return address.is_set() && port != 0; }
  std::string ToString() const;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Endpoint& e) {
    return H::combine(std::move(h), e.address, e.port, e.scope_id);
  }
};

}  // namespace cipe
