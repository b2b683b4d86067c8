#include "base/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe {

IpAddress IpAddress::V4(const uint8_t* four) {
  IpAddress a;
  a.family = Family::kIpv4;
  std::copy_n(four, 4, a.octets.begin());
  return a;
}

IpAddress IpAddress::V6(const uint8_t* sixteen) {
  IpAddress a;
  a.family = Family::kIpv6;
  std::copy_n(sixteen, 16, a.octets.begin());
  return a;
}

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  const std::string s(text);
  uint8_t raw[16];
  if (inet_pton(AF_INET, s.c_str(), raw) == 1) return V4(raw);
  if (inet_pton(AF_INET6, s.c_str(), raw) == 1) return V6(raw);
  return absl::InvalidArgumentError(absl::StrCat("'", s, "' is not an IPv4 or IPv6 address"));
}

bool IpAddress::is_unspecified() const {
  return is_set() && std::all_of(octets.begin(), octets.end(), [](uint8_t o) { return o == 0; });
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return octets[0] == 169 && octets[1] == 254;
  return is_v6() && octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80;
}

std::string IpAddress::ToString() const {
  if (!is_set()) return "none";
  char buf[INET6_ADDRSTRLEN];
  inet_ntop(is_v4() ? AF_INET : AF_INET6, octets.data(), buf, sizeof buf);
  return buf;
}

absl::StatusOr<IpPrefix> IpPrefix::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  CIPE_ASSIGN_OR_RETURN(IpAddress address, IpAddress::Parse(text.substr(0, slash)));
  IpPrefix p{address, address.bits()};
  if (slash == absl::string_view::npos) return p;
  const absl::string_view digits = text.substr(slash + 1);
  int length = -1;
  const bool plain =
      !digits.empty() && digits.size() <= 3 &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!plain || !absl::SimpleAtoi(digits, &length) || length > address.bits()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' needs a prefix length from 0 to ",
                                                   address.bits(), " after the slash"));
  }
  p.length = length;
  return p;
}

IpPrefix IpPrefix::Masked() const {
  IpPrefix p = *this;
  for (size_t i = 0; i < p.address.octets.size(); ++i) {
    const int keep = std::clamp(length - static_cast<int>(i) * 8, 0, 8);
    p.address.octets[i] &= static_cast<uint8_t>(0xff00 >> keep);
  }
  return p;
}

bool IpPrefix::Contains(const IpAddress& other) const {
  if (other.family != address.family) return false;
  return IpPrefix{other, length}.Masked().address == Masked().address;
}

std::string IpPrefix::ToString() const { return absl::StrCat(address.ToString(), "/", length); }

absl::StatusOr<Endpoint> Endpoint::Parse(absl::string_view text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not an endpoint: expected ADDRESS:PORT or [IPV6]:PORT"));
  };
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return bad();
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Endpoint e;
  if (const size_t percent = host.find('%'); percent != absl::string_view::npos) {
    if (!absl::SimpleAtoi(host.substr(percent + 1), &e.scope_id)) return bad();
    host = host.substr(0, percent);
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port == 0 || port > 65535) return bad();
  CIPE_ASSIGN_OR_RETURN(e.address, IpAddress::Parse(host));
  if (e.address.is_v6() != bracketed) return bad();
  e.port = static_cast<uint16_t>(port);
  return e;
}

Endpoint Endpoint::FromSockaddr(const sockaddr_storage& sa) {
  Endpoint e;
  if (sa.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &sa, sizeof in);
    e.address = IpAddress::V4(reinterpret_cast<const uint8_t*>(&in.sin_addr));
    e.port = ntohs(in.sin_port);
  } else if (sa.ss_family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, &sa, sizeof in6);
    e.address = IpAddress::V6(in6.sin6_addr.s6_addr);
    e.port = ntohs(in6.sin6_port);
    if (e.address.is_link_local()) e.scope_id = in6.sin6_scope_id;
  }
  return e;
}

socklen_t Endpoint::ToSockaddr(sockaddr_storage* sa) const {
  std::memset(sa, 0, sizeof *sa);
  if (address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, address.octets.data(), 4);
    std::memcpy(sa, &in, sizeof in);
    return sizeof in;
  }
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(port);
  in6.sin6_scope_id = scope_id;
  std::memcpy(in6.sin6_addr.s6_addr, address.octets.data(), 16);
  std::memcpy(sa, &in6, sizeof in6);
  return sizeof in6;
}

std::string Endpoint::ToString() const {
  if (!address.is_set()) return "none";
  if (address.is_v4()) return absl::StrCat(address.ToString(), ":", port);
  if (scope_id != 0) return absl::StrCat("[", address.ToString(), "%", scope_id, "]:", port);
  return absl::StrCat("[", address.ToString(), "]:", port);
}

}  // namespace cipe
