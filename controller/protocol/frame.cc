#include "protocol/frame.h"

#include <algorithm>

namespace cipe::protocol {
namespace {

constexpr uint8_t kVersionMask = 0xf0;
constexpr uint8_t kVersion = 0x50;

struct Prefix {
  Pattern pattern{};
  uint8_t suite = 0;
};

// Octets 0..3 of a control frame of type `type`, and that at least `size` octets are there.
DropOr<Prefix> ParsePrefix(absl::Span<const uint8_t> frame, uint8_t type, size_t size) {
  if (frame.empty()) return cipe_drop_hs_bad_length;
  if (frame[0] != type) return cipe_drop_hs_other_protocol;
  if (frame.size() < size) return cipe_drop_hs_bad_length;
  if (frame[1] != static_cast<uint8_t>(Pattern::kIkPsk2) &&
      frame[1] != static_cast<uint8_t>(Pattern::kNnPsk0)) {
    return cipe_drop_hs_other_pattern;
  }
  if (frame[2] != kSuiteAesGcmSha256 && frame[2] != kSuiteChaChaPolyBlake2s) {
    return cipe_drop_hs_other_suite;
  }
  return Prefix{static_cast<Pattern>(frame[1]), frame[2]};
}

bool IsIndex(uint32_t index) { return (index & kLaneMask) == 0; }

void WritePrefix(uint8_t type, Pattern pattern, uint8_t suite, absl::Span<uint8_t> frame) {
  std::fill(frame.begin(), frame.end(), uint8_t{0});
  frame[0] = type;
  frame[1] = static_cast<uint8_t>(pattern);
  frame[2] = suite;
}

}  // namespace

DropOr<FrameKind> ClassifyFrame(absl::Span<const uint8_t> frame) {
  if (frame.empty()) return cipe_drop_rx_truncated;
  switch (frame[0]) {
    case kTypeInitiation:
      return FrameKind::kInitiation;
    case kTypeResponse:
      return FrameKind::kResponse;
    case kTypeCookieReply:
      return FrameKind::kCookieReply;
    case kTypeData:
      return FrameKind::kData;
    default:
      return (frame[0] & kVersionMask) == kVersion ? cipe_drop_rx_unknown_type
                                                   : cipe_drop_hs_other_protocol;
  }
}

DropOr<InitiationView> ParseInitiation(absl::Span<const uint8_t> frame) {
  DropOr<Prefix> prefix =
      ParsePrefix(frame, kTypeInitiation, std::min(kIkInitiationSize, kNnInitiationSize));
  if (!prefix.ok()) return prefix.reason();
  if (frame.size() != InitiationSize(prefix->pattern)) return cipe_drop_hs_bad_length;
  InitiationView v;
  v.pattern = prefix->pattern;
  v.suite = prefix->suite;
  v.sender_index = LoadLe32(frame.data() + kControlPrefixSize);
  if (frame[3] != 0 || !IsIndex(v.sender_index)) return cipe_drop_hs_reserved_bits;
  const size_t key_id = v.pattern == Pattern::kNnPsk0 ? kKeyIdSize : 0;
  v.frame = frame;
  v.prologue = frame.first(kInitiationHeaderSize);
  v.key_id = frame.subspan(kInitiationHeaderSize, key_id);
  v.mac1_input = frame.first(frame.size() - 2 * kMacSize);
  v.mac2_input = frame.first(frame.size() - kMacSize);
  v.noise = v.mac1_input.subspan(kInitiationHeaderSize + key_id);
  v.ephemeral = v.noise.first(kKeySize);
  v.mac1 = frame.subspan(v.mac1_input.size(), kMacSize);
  v.mac2 = frame.last(kMacSize);
  return v;
}

DropOr<ResponseView> ParseResponse(absl::Span<const uint8_t> frame) {
  DropOr<Prefix> prefix = ParsePrefix(frame, kTypeResponse, kResponseSize);
  if (!prefix.ok()) return prefix.reason();
  if (frame.size() != kResponseSize) return cipe_drop_hs_bad_length;
  ResponseView v;
  v.pattern = prefix->pattern;
  v.suite = prefix->suite;
  v.sender_index = LoadLe32(frame.data() + kControlPrefixSize);
  v.receiver_index = LoadLe32(frame.data() + kInitiationHeaderSize);
  if (frame[3] != 0 || !IsIndex(v.sender_index) || !IsIndex(v.receiver_index)) {
    return cipe_drop_hs_reserved_bits;
  }
  v.frame = frame;
  v.mac1_input = frame.first(frame.size() - 2 * kMacSize);
  v.noise = v.mac1_input.subspan(kResponseHeaderSize);
  v.mac1 = frame.subspan(v.mac1_input.size(), kMacSize);
  v.mac2 = frame.last(kMacSize);
  return v;
}

DropOr<CookieReplyView> ParseCookieReply(absl::Span<const uint8_t> frame) {
  DropOr<Prefix> prefix = ParsePrefix(frame, kTypeCookieReply, kCookieReplySize);
  if (!prefix.ok()) return prefix.reason();
  if (frame.size() != kCookieReplySize) return cipe_drop_hs_bad_length;
  CookieReplyView v;
  v.pattern = prefix->pattern;
  v.suite = prefix->suite;
  v.receiver_index = LoadLe32(frame.data() + kControlPrefixSize);
  if (frame[3] != 0 || !IsIndex(v.receiver_index)) return cipe_drop_hs_reserved_bits;
  v.salt = frame.subspan(kInitiationHeaderSize, kCookieSaltSize);
  v.sealed = frame.subspan(kInitiationHeaderSize + kCookieSaltSize);
  return v;
}

DropOr<DataView> ParseData(absl::Span<const uint8_t> frame) {
  if (frame.size() < kDataOverhead) return cipe_drop_rx_truncated;
  if (frame[0] != kTypeData) return cipe_drop_rx_unknown_type;
  if (LoadLe32(frame.data()) != kTypeData) return cipe_drop_rx_reserved_bits;
  DataView v;
  v.receiver_index = LoadLe32(frame.data() + 4);
  v.lane = static_cast<int>(v.receiver_index & kLaneMask);
  v.counter = LoadLe64(frame.data() + 8);
  v.header = frame.first(kDataHeaderSize);
  v.sealed = frame.subspan(kDataHeaderSize);
  return v;
}

InitiationFields LayOutInitiation(Pattern pattern, uint8_t suite, uint32_t sender_index,
                                  absl::Span<uint8_t> out) {
  const size_t size = InitiationSize(pattern);
  const size_t key_id = pattern == Pattern::kNnPsk0 ? kKeyIdSize : 0;
  InitiationFields f;
  f.frame = out.first(size);
  WritePrefix(kTypeInitiation, pattern, suite, f.frame);
  StoreLe32(f.frame.data() + kControlPrefixSize, sender_index);
  f.prologue = f.frame.first(kInitiationHeaderSize);
  f.key_id = f.frame.subspan(kInitiationHeaderSize, key_id);
  f.mac1_input = f.frame.first(size - 2 * kMacSize);
  f.mac2_input = f.frame.first(size - kMacSize);
  f.noise = f.frame.first(size - 2 * kMacSize).subspan(kInitiationHeaderSize + key_id);
  f.mac1 = f.frame.subspan(size - 2 * kMacSize, kMacSize);
  f.mac2 = f.frame.last(kMacSize);
  return f;
}

ResponseFields LayOutResponse(Pattern pattern, uint8_t suite, uint32_t sender_index,
                              uint32_t receiver_index, absl::Span<uint8_t> out) {
  ResponseFields f;
  f.frame = out.first(kResponseSize);
  WritePrefix(kTypeResponse, pattern, suite, f.frame);
  StoreLe32(f.frame.data() + kControlPrefixSize, sender_index);
  StoreLe32(f.frame.data() + kInitiationHeaderSize, receiver_index);
  f.mac1_input = f.frame.first(kResponseSize - 2 * kMacSize);
  f.noise = f.frame.first(kResponseSize - 2 * kMacSize).subspan(kResponseHeaderSize);
  f.mac1 = f.frame.subspan(kResponseSize - 2 * kMacSize, kMacSize);
  return f;
}

CookieReplyFields LayOutCookieReply(Pattern pattern, uint8_t suite, uint32_t receiver_index,
                                    absl::Span<uint8_t> out) {
  CookieReplyFields f;
  f.frame = out.first(kCookieReplySize);
  WritePrefix(kTypeCookieReply, pattern, suite, f.frame);
  StoreLe32(f.frame.data() + kControlPrefixSize, receiver_index);
  f.salt = f.frame.subspan(kInitiationHeaderSize, kCookieSaltSize);
  f.sealed = f.frame.subspan(kInitiationHeaderSize + kCookieSaltSize);
  return f;
}

}  // namespace cipe::protocol
