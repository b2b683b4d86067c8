// In-tunnel control: the plaintext of a data frame whose first octet is 0 (docs/protocol.md,
// "In-tunnel control"). One message per frame: 0, type, 16-bit length of the value, value; what
// follows the value is padding.
#pragma once

#include <cstdint>
#include <variant>

#include "absl/types/span.h"
#include "protocol/drop_or.h"

namespace cipe::protocol {

inline constexpr size_t kTlvHeaderSize = 4;
inline constexpr size_t kLongestControl = kTlvHeaderSize + 10;  // of a known type, without padding

enum class TlvType : uint8_t { kEchoRequest = 1, kEchoReply = 2, kParameters = 3, kClose = 4 };

struct EchoRequest {
  uint64_t id = 0;            // the sender's choice, comes back in the reply
  size_t plaintext_size = 0;  // parse: octets of the whole plaintext, so that probes can be sized
};
struct EchoReply {
  uint64_t id = 0;
  uint16_t seen_size = 0;  // plaintext octets of the request as they arrived
};
struct ChangedParameters {
  uint16_t mtu = 0;  // as in the parameter block
};
struct Close {};
struct UnknownTlv {
  uint8_t type = 0;  // to be ignored, not an error
};
using ControlMessage = std::variant<EchoRequest, EchoReply, ChangedParameters, Close, UnknownTlv>;

// `plaintext` starts with octet 0. Drop reason: rx_bad_inner (too short, value longer than the
// plaintext, value of wrong length or content for a known type).
DropOr<ControlMessage> ParseControl(absl::Span<const uint8_t> plaintext);
// The same when `plaintext` is only the start of `plaintext_size` octets (the rest is padding, or
// the value of an unknown type): at least kLongestControl octets, or all of them.
DropOr<ControlMessage> ParseControl(absl::Span<const uint8_t> plaintext, size_t plaintext_size);

// Writes the message and zero padding up to out.size(); returns octets written, which is
// out.size(), or 0 when `out` is too small or longer than 65535. UnknownTlv cannot be written.
size_t BuildControl(const ControlMessage& message, absl::Span<uint8_t> out);
// Least octets BuildControl needs.
size_t ControlSize(const ControlMessage& message);

}  // namespace cipe::protocol
