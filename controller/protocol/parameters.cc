#include "protocol/parameters.h"

#include <algorithm>

#include "base/bytes.h"

namespace cipe::protocol {
namespace {

// Offsets in the parameter block.
constexpr size_t kAtLanes = 16;
constexpr size_t kAtFlags = 17;
constexpr size_t kAtMtu = 18;
constexpr size_t kAtIpv4 = 20;
constexpr size_t kAtIpv6 = 24;
constexpr size_t kAtReserved = 40;

bool AllZero(absl::Span<const uint8_t> octets) {
  return std::all_of(octets.begin(), octets.end(), [](uint8_t o) { return o == 0; });
}

// An address that one host can have: no multicast, broadcast, loopback or "this network".
bool IsHostV4(absl::Span<const uint8_t> a) { return a[0] != 0 && a[0] != 127 && a[0] < 224; }
bool IsHostV6(absl::Span<const uint8_t> a) {
  return a[0] != 0xff && !AllZero(a) && !(AllZero(a.first(15)) && a[15] == 1);
}

void Encode(const Parameters& p, absl::Span<uint8_t> out) {
  std::fill(out.begin(), out.end(), uint8_t{0});
  std::copy(p.node_id.begin(), p.node_id.end(), out.begin());
  out[kAtLanes] = static_cast<uint8_t>(p.lanes);
  StoreLe16(&out[kAtMtu], p.mtu);
  if (p.ipv4.is_set()) std::copy_n(p.ipv4.octets.begin(), 4, out.begin() + kAtIpv4);
  if (p.ipv6.is_set()) std::copy_n(p.ipv6.octets.begin(), 16, out.begin() + kAtIpv6);
}

DropOr<Parameters> Decode(absl::Span<const uint8_t> in) {
  Parameters p;
  std::copy_n(in.begin(), kNodeIdSize, p.node_id.begin());
  p.lanes = in[kAtLanes];
  p.mtu = LoadLe16(&in[kAtMtu]);
  if (!AllZero(in.subspan(kAtIpv4, 4))) p.ipv4 = IpAddress::V4(&in[kAtIpv4]);
  if (!AllZero(in.subspan(kAtIpv6, 16))) p.ipv6 = IpAddress::V6(&in[kAtIpv6]);
  if (in[kAtFlags] != 0 || !AllZero(in.subspan(kAtReserved)) || !IsValid(p)) {
    return cipe_drop_hs_bad_parameters;
  }
  return p;
}

}  // namespace

bool IsValid(const Parameters& p) {
  const absl::Span<const uint8_t> v4(p.ipv4.octets.data(), 4);
  return !AllZero(p.node_id) && p.lanes >= 1 && p.lanes <= kMaxLanes && p.mtu >= kMinMtu &&
         (!p.ipv4.is_set() || (p.ipv4.is_v4() && IsHostV4(v4))) &&
         (!p.ipv6.is_set() || (p.ipv6.is_v6() && IsHostV6(p.ipv6.octets)));
}

void EncodeInitiationPayload(const InitiationPayload& p, absl::Span<uint8_t> out) {
  Encode(p.parameters, out.first(kParametersSize));
  std::copy(p.timestamp.octets.begin(), p.timestamp.octets.end(), out.begin() + kParametersSize);
}

void EncodeResponsePayload(const ResponsePayload& p, absl::Span<uint8_t> out) {
  Encode(p.parameters, out.first(kParametersSize));
  StoreLe32(&out[kParametersSize], p.initiator_index);
  StoreLe32(&out[kParametersSize + 4], p.responder_index);
}

DropOr<InitiationPayload> DecodeInitiationPayload(absl::Span<const uint8_t> in) {
  if (in.size() != kInitiationPayloadSize) return cipe_drop_hs_bad_parameters;
  DropOr<Parameters> parameters = Decode(in.first(kParametersSize));
  if (!parameters.ok()) return parameters.reason();
  const Tai64n timestamp = Tai64n::FromSpan(in.subspan(kParametersSize));
  if (!timestamp.IsValid()) return cipe_drop_hs_bad_parameters;
  return InitiationPayload{*parameters, timestamp};
}

DropOr<ResponsePayload> DecodeResponsePayload(absl::Span<const uint8_t> in) {
  if (in.size() != kResponsePayloadSize) return cipe_drop_hs_bad_parameters;
  DropOr<Parameters> parameters = Decode(in.first(kParametersSize));
  if (!parameters.ok()) return parameters.reason();
  return ResponsePayload{*parameters, LoadLe32(&in[kParametersSize]),
                         LoadLe32(&in[kParametersSize + 4])};
}

}  // namespace cipe::protocol
