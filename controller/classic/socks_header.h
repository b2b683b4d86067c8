// The ten octets that a SOCKS5 relay wants in front of every datagram (RFC 1928 section 7), as far
// as protocol 3 uses them: IPv4 only, no fragments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "base/ip_address.h"

namespace cipe::classic {

inline constexpr size_t kSocksHeaderSize = 10;

// `peer`: the IPv4 endpoint behind the relay. Writes kSocksHeaderSize octets.
void WriteSocksHeader(const Endpoint& peer, uint8_t* out);

// Whom the relay heard; nullopt: too short, a fragment, another address type, or no endpoint.
std::optional<Endpoint> ReadSocksHeader(absl::Span<const uint8_t> datagram);

}  // namespace cipe::classic
