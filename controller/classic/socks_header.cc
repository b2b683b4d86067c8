#include "classic/socks_header.h"

#include <cstring>

#include "base/bytes.h"

namespace cipe::classic {
namespace {

constexpr uint8_t kAddressTypeIpv4 = 1;

}  // namespace

void WriteSocksHeader(const Endpoint& peer, uint8_t* out) {
  StoreBe16(out, 0);
  out[2] = 0;  // not a fragment
  out[3] = kAddressTypeIpv4;
  std::memcpy(out + 4, peer.address.octets.data(), 4);
  StoreBe16(out + 8, peer.port);
}

std::optional<Endpoint> ReadSocksHeader(absl::Span<const uint8_t> datagram) {
  if (datagram.size() < kSocksHeaderSize) return std::nullopt;
  const uint8_t* p = datagram.data();
  if (p[2] != 0 || p[3] != kAddressTypeIpv4) return std::nullopt;
  const Endpoint peer{IpAddress::V4(p + 4), LoadBe16(p + 8)};
  if (!peer.is_set() || peer.address.is_unspecified()) return std::nullopt;
  return peer;
}

}  // namespace cipe::classic
