// Octet-exact frames of protocol 5 (docs/protocol.md, "Frames"): parse into a view of the caller's
// octets, or lay a frame out in the caller's span. No cryptography, no allocation, no state.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "base/bytes.h"
#include "protocol/constants.h"
#include "protocol/drop_or.h"
#include "protocol/parameters.h"

namespace cipe::protocol {

// Octet 1 of a control frame.
enum class Pattern : uint8_t { kIkPsk2 = 1, kNnPsk0 = 2 };

inline constexpr uint8_t kSuiteAesGcmSha256 = 1;  // octet 2; the values of cipe::Suite
inline constexpr uint8_t kSuiteChaChaPolyBlake2s = 2;

inline constexpr size_t kKeySize = 32;
inline constexpr size_t kKeyIdSize = 8;
inline constexpr size_t kMacSize = 16;
inline constexpr size_t kCookieSize = 16;
inline constexpr size_t kCookieSaltSize = 16;
inline constexpr size_t kIndexSize = 4;

inline constexpr size_t kControlPrefixSize = 4;                           // type .. reserved
inline constexpr size_t kInitiationHeaderSize = kControlPrefixSize + 4;   // + sender index
inline constexpr size_t kResponseHeaderSize = kInitiationHeaderSize + 4;  // + receiver index
inline constexpr size_t kSealedStaticSize = kKeySize + kTagSize;          // 48
inline constexpr size_t kSealedInitiationSize = kInitiationPayloadSize + kTagSize;  // 76
inline constexpr size_t kSealedResponseSize = kResponsePayloadSize + kTagSize;      // 72
inline constexpr size_t kSealedCookieSize = kCookieSize + kTagSize;                 // 32

inline constexpr size_t kIkInitiationSize =
    kInitiationHeaderSize + kKeySize + kSealedStaticSize + kSealedInitiationSize + 2 * kMacSize;
inline constexpr size_t kNnInitiationSize =
    kInitiationHeaderSize + kKeyIdSize + kKeySize + kSealedInitiationSize + 2 * kMacSize;
inline constexpr size_t kResponseSize =
    kResponseHeaderSize + kKeySize + kSealedResponseSize + 2 * kMacSize;
inline constexpr size_t kCookieReplySize =
    kInitiationHeaderSize + kCookieSaltSize + kSealedCookieSize;
inline constexpr size_t kMaxControlFrameSize = kIkInitiationSize;
static_assert(kIkInitiationSize == 196 && kNnInitiationSize == 156, "docs/protocol.md");
static_assert(kResponseSize == 148 && kCookieReplySize == 56, "docs/protocol.md");
// Nobody gets more octets back than he sent.
static_assert(kResponseSize <= kNnInitiationSize && kResponseSize <= kIkInitiationSize);

inline constexpr size_t InitiationSize(Pattern p) {
  return p == Pattern::kIkPsk2 ? kIkInitiationSize : kNnInitiationSize;
}

// Views point into the parsed octets and live as long as these.
struct InitiationView {
  Pattern pattern{};
  uint8_t suite = 0;          // 1 or 2
  uint32_t sender_index = 0;  // lane bits zero
  absl::Span<const uint8_t> frame;
  absl::Span<const uint8_t> prologue;  // first 8 octets
  absl::Span<const uint8_t> key_id;    // NNpsk0 only, else empty
  absl::Span<const uint8_t> noise;     // e .. encrypted payload: the Noise message
  absl::Span<const uint8_t> ephemeral;
  absl::Span<const uint8_t> mac1;
  absl::Span<const uint8_t> mac2;
  absl::Span<const uint8_t> mac1_input;  // everything before mac1
  absl::Span<const uint8_t> mac2_input;  // everything before mac2
};

struct ResponseView {
  Pattern pattern{};
  uint8_t suite = 0;
  uint32_t sender_index = 0;    // the responder's, lane bits zero
  uint32_t receiver_index = 0;  // the initiator's, lane bits zero
  absl::Span<const uint8_t> frame;
  absl::Span<const uint8_t> noise;
  absl::Span<const uint8_t> mac1;
  absl::Span<const uint8_t> mac2;
  absl::Span<const uint8_t> mac1_input;
};

struct CookieReplyView {
  Pattern pattern{};
  uint8_t suite = 0;
  uint32_t receiver_index = 0;  // sender index of the initiation it answers
  absl::Span<const uint8_t> salt;
  absl::Span<const uint8_t> sealed;  // cookie and tag
};

struct DataView {
  uint32_t receiver_index = 0;  // with lane bits
  int lane = 0;                 // its low 6 bits
  uint64_t counter = 0;
  absl::Span<const uint8_t> header;  // 16 octets: the associated data
  absl::Span<const uint8_t> sealed;  // ciphertext and tag, at least the tag
};

enum class FrameKind { kInitiation, kResponse, kCookieReply, kData };

// What the first octet says. Drop reasons: rx_truncated (empty), hs_other_protocol (version nibble
// is not 5), rx_unknown_type.
DropOr<FrameKind> ClassifyFrame(absl::Span<const uint8_t> frame);

// Drop reasons, checked in this order: hs_other_protocol (first octet), hs_bad_length,
// hs_other_pattern, hs_other_suite (octet unknown to protocol 5), hs_bad_length (of the pattern),
// hs_reserved_bits (octet 3, lane bits of an index).
DropOr<InitiationView> ParseInitiation(absl::Span<const uint8_t> frame);
DropOr<ResponseView> ParseResponse(absl::Span<const uint8_t> frame);
DropOr<CookieReplyView> ParseCookieReply(absl::Span<const uint8_t> frame);
// Drop reasons: rx_truncated, rx_unknown_type, rx_reserved_bits.
DropOr<DataView> ParseData(absl::Span<const uint8_t> frame);

// Where the parts of a frame go that is being built. The spans point into the caller's octets.
struct InitiationFields {
  absl::Span<uint8_t> frame;
  absl::Span<uint8_t> prologue;
  absl::Span<uint8_t> key_id;  // empty for IKpsk2
  absl::Span<uint8_t> noise;
  absl::Span<uint8_t> mac1;
  absl::Span<uint8_t> mac2;
  absl::Span<const uint8_t> mac1_input;
  absl::Span<const uint8_t> mac2_input;
};
struct ResponseFields {
  absl::Span<uint8_t> frame;
  absl::Span<uint8_t> noise;
  absl::Span<uint8_t> mac1;
  absl::Span<const uint8_t> mac1_input;
};
struct CookieReplyFields {
  absl::Span<uint8_t> frame;
  absl::Span<uint8_t> salt;
  absl::Span<uint8_t> sealed;
};

// Write the header and zero the rest of the frame. `out` must hold InitiationSize(pattern),
// kResponseSize, kCookieReplySize or kDataHeaderSize octets; indices have their lane bits zero.
InitiationFields LayOutInitiation(Pattern pattern, uint8_t suite, uint32_t sender_index,
                                  absl::Span<uint8_t> out);
ResponseFields LayOutResponse(Pattern pattern, uint8_t suite, uint32_t sender_index,
                              uint32_t receiver_index, absl::Span<uint8_t> out);
CookieReplyFields LayOutCookieReply(Pattern pattern, uint8_t suite, uint32_t receiver_index,
                                    absl::Span<uint8_t> out);
// `receiver_index` includes the lane.
inline void WriteDataHeader(uint32_t receiver_index, uint64_t counter, uint8_t* out) {
  StoreLe32(out, kTypeData);
  StoreLe32(out + 4, receiver_index);
  StoreLe64(out + 8, counter);
}

}  // namespace cipe::protocol
