// The side that starts. No I/O, no clock; randomness from the caller.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/rng.h"
#include "handshake/cookie.h"
#include "handshake/identity.h"
#include "handshake/noise.h"
#include "handshake/session_secrets.h"
#include "protocol/drop_or.h"
#include "protocol/frame.h"

namespace cipe::handshake {

struct InitiatorOptions {
  protocol::Pattern pattern{};
  Suite suite{};
  const Identity* local = nullptr;            // IKpsk2
  PublicKeyOctets remote_public_key{};        // IKpsk2
  const Secret<32>* psk = nullptr;            // IKpsk2; null = zeros
  const SharedKeyIdentity* shared = nullptr;  // NNpsk0
  protocol::Parameters parameters;            // ours
  protocol::Tai64n timestamp;                 // above every one sent before
  uint32_t sender_index = 0;                  // lane bits zero
  std::optional<Cookie> cookie;               // CookieHolder::Get of this peer
};

// One handshake in progress: one initiation, at most one response taken. A retry is a new Initiator
// (new ephemeral, index and time stamp).
class Initiator {
 public:
  // Copies what it needs; the pointers in `options` need not outlive the call. InvalidArgument when
  // an option is missing or the remote key is of low order.
  static absl::StatusOr<Initiator> Create(const InitiatorOptions& options, Rng& rng);

  // The initiation with mac1, and mac2 when a cookie was given. May be sent more than once.
  absl::Span<const uint8_t> frame() const { return {frame_.data(), frame_size_}; }
  uint32_t sender_index() const { return sender_index_; }
  // mac1 of frame(): what a cookie reply is bound to.
  absl::Span<const uint8_t> mac1() const;
  // Public ephemeral of frame(), for the both-start-at-once rule.
  const std::array<uint8_t, 32>& ephemeral() const { return ephemeral_; }

  // Error contract: on a drop reason nothing has changed, and the right response is still taken.
  // After success every further call gives hs_unknown_index.
  // Drop reasons: those of ParseResponse; hs_unknown_index, hs_other_pattern, hs_other_suite,
  // hs_bad_mac1, hs_low_order_key, hs_wrong_psk (IKpsk2) or hs_decrypt_failed (NNpsk0),
  // hs_bad_parameters, hs_reflected.
  protocol::DropOr<SessionSecrets> ConsumeResponse(absl::Span<const uint8_t> frame);

  // A cookie reply to frame(). Stores the cookie in `holder` for 120 s; it goes into the next
  // Initiator for this peer. Returns no value of interest: ok, or hs_unknown_index,
  // hs_other_pattern, hs_other_suite, hs_bad_cookie and those of ParseCookieReply.
  protocol::DropOr<bool> ConsumeCookieReply(absl::Span<const uint8_t> frame, Instant now,
                                            CookieHolder& holder) const;

 private:
  Initiator() = default;

  protocol::Pattern pattern_{};
  Suite suite_{};
  uint32_t sender_index_ = 0;
  protocol::NodeId node_id_{};
  MacKeys own_mac_keys_;                 // mac1 of the response
  MacKeys remote_mac_keys_;              // mac1 of the initiation, cookies
  std::optional<NoiseHandshake> noise_;  // gone after success
  std::array<uint8_t, 32> ephemeral_{};
  std::array<uint8_t, protocol::kMaxControlFrameSize> frame_{};
  size_t frame_size_ = 0;
};

}  // namespace cipe::handshake
