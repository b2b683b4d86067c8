// Domain separation: every label of docs/protocol.md, in one place. ASCII, without a final zero.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cipe::handshake {

inline constexpr absl::string_view kLabelPrologue = "CIPE5 handshake";
inline constexpr absl::string_view kLabelMac1Key = "CIPE5 mac1 key";
inline constexpr absl::string_view kLabelCookieKey = "CIPE5 cookie key";
inline constexpr absl::string_view kLabelCookieReply = "CIPE5 cookie reply";
inline constexpr absl::string_view kLabelSharedKey = "CIPE5 shared key";
inline constexpr absl::string_view kLabelPsk = "CIPE5 psk";
inline constexpr absl::string_view kLabelKeyId = "CIPE5 key id";
inline constexpr absl::string_view kLabelLane = "CIPE5 lane";

inline absl::Span<const uint8_t> LabelOctets(absl::string_view label) {
  return {reinterpret_cast<const uint8_t*>(label.data()), label.size()};
}

}  // namespace cipe::handshake
