#include "config/endpoint_address.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cipe::config {
namespace {

std::string WhyNoHost4(const std::array<uint8_t, 16>& o) {
  if (o[0] == 0) return "is no host's address (0.0.0.0/8)";
  if (o[0] >= 224 && o[0] < 240) return "is a multicast address";
  if (std::all_of(o.begin(), o.begin() + 4, [](uint8_t b) { return b == 255; })) {
    return "is the broadcast address";
  }
  if (o[0] >= 240) return "is in a reserved block (240.0.0.0/4)";
  return "";
}

}  // namespace

std::string WhyNoHost(const IpAddress& address) {
  const auto& o = address.octets;
  if (address.is_v4()) return WhyNoHost4(o);
  if (address.is_unspecified()) return "is no host's address";
  if (o[0] == 0xff) return "is a multicast address";
  const bool ten_zeros = std::all_of(o.begin(), o.begin() + 10, [](uint8_t b) { return b == 0; });
  if (ten_zeros && o[10] == 0xff && o[11] == 0xff) {
    return absl::StrCat("is an IPv4 address in IPv6 form; write ",
                        IpAddress::V4(o.data() + 12).ToString());
  }
  return "";
}

std::string WhyNoInnerHost(const IpAddress& address) {
  const auto& o = address.octets;
  const bool zeros = std::all_of(o.begin(), o.begin() + 15, [](uint8_t b) { return b == 0; });
  const bool loopback = address.is_v4() ? o[0] == 127 : zeros && o[15] == 1;
  return loopback ? "means this host to every host" : WhyNoHost(address);
}

}  // namespace cipe::config
