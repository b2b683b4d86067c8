// What both handshake messages carry encrypted: the parameter block, and the payloads around it.
// docs/protocol.md, "Parameter block".
#pragma once

#include <array>
#include <cstdint>

#include "absl/types/span.h"
#include "base/ip_address.h"
#include "protocol/drop_or.h"
#include "protocol/tai64n.h"

namespace cipe::protocol {

inline constexpr size_t kNodeIdSize = 16;
inline constexpr size_t kParametersSize = 48;
inline constexpr size_t kInitiationPayloadSize = kParametersSize + kTai64nSize;  // 60
inline constexpr size_t kResponsePayloadSize = kParametersSize + 8;              // 56
inline constexpr int kMaxLanes = 64;
inline constexpr uint16_t kMinMtu = 68;  // RFC 791: what every IPv4 link carries

using NodeId = std::array<uint8_t, kNodeIdSize>;

struct Parameters {
  NodeId node_id{};  // random, not zero; made once per host and kept
  int lanes = 1;     // lanes the sender receives on, 1..64
  uint16_t mtu = 0;  // greatest inner packet the sender takes, octets, >= kMinMtu
  IpAddress ipv4;    // sender's tunnel addresses; unset = none
  IpAddress ipv6;

  friend bool operator==(const Parameters&, const Parameters&) = default;
};

struct InitiationPayload {
  Parameters parameters;
  Tai64n timestamp;
};

struct ResponsePayload {
  Parameters parameters;
  uint32_t initiator_index = 0;
  uint32_t responder_index = 0;
};

// Whether `p` may be sent; Decode* accept exactly what is valid, so a valid block round-trips.
bool IsValid(const Parameters& p);

// `p` must be valid.
void EncodeInitiationPayload(const InitiationPayload& p,
                             absl::Span<uint8_t> out /* kInitiationPayloadSize */);
void EncodeResponsePayload(const ResponsePayload& p,
                           absl::Span<uint8_t> out /* kResponsePayloadSize */);

// Drop reason: hs_bad_parameters.
DropOr<InitiationPayload> DecodeInitiationPayload(absl::Span<const uint8_t> in);
DropOr<ResponsePayload> DecodeResponsePayload(absl::Span<const uint8_t> in);

}  // namespace cipe::protocol
