#include "handshake/initiator.h"

#include <algorithm>
#include <utility>

#include "handshake/prologue.h"

namespace cipe::handshake {
namespace {

using protocol::DropOr;
using protocol::Pattern;

absl::Status CheckOptions(const InitiatorOptions& o) {
  if (o.pattern == Pattern::kIkPsk2 ? o.local == nullptr : o.shared == nullptr) {
    return absl::InvalidArgumentError(o.pattern == Pattern::kIkPsk2
                                          ? "handshake without a private key: set PrivateKey"
                                          : "handshake without a shared key: set SharedKey");
  }
  if ((o.sender_index & protocol::kLaneMask) != 0) {
    return absl::InvalidArgumentError("sender index has lane bits set: pass the index of lane 0");
  }
  if (!protocol::IsValid(o.parameters)) {
    return absl::InvalidArgumentError(
        "parameters are not valid: node id, 1..64 lanes, an MTU of 68 at least and host addresses "
        "are needed");
  }
  return absl::OkStatus();
}

NoiseHandshake StartNoise(const InitiatorOptions& o, absl::Span<const uint8_t> header) {
  NoiseHandshake::Keys keys;
  if (o.pattern == Pattern::kIkPsk2) {
    keys.local_static = &o.local->private_key();
    keys.local_static_public = o.local->public_key();
    keys.remote_static = o.remote_public_key;
    keys.psk = o.psk;
  } else {
    keys.psk = &o.shared->psk();
  }
  return NoiseHandshake(o.pattern, o.suite, /*initiator=*/true, MakePrologue(header), keys);
}

}  // namespace

absl::StatusOr<Initiator> Initiator::Create(const InitiatorOptions& o, Rng& rng) {
  if (absl::Status status = CheckOptions(o); !status.ok()) return status;
  const bool ik = o.pattern == Pattern::kIkPsk2;
  Initiator it;
  it.pattern_ = o.pattern;
  it.suite_ = o.suite;
  it.sender_index_ = o.sender_index;
  it.node_id_ = o.parameters.node_id;
  it.own_mac_keys_ = ik ? o.local->mac_keys().Clone() : o.shared->mac_keys().Clone();
  it.remote_mac_keys_ =
      ik ? MacKeys::ForPublicKey(o.remote_public_key) : o.shared->mac_keys().Clone();
  it.frame_size_ = protocol::InitiationSize(o.pattern);
  protocol::InitiationFields f = protocol::LayOutInitiation(
      o.pattern, static_cast<uint8_t>(o.suite), o.sender_index, absl::MakeSpan(it.frame_));
  if (!ik) std::copy_n(o.shared->key_id().begin(), protocol::kKeyIdSize, f.key_id.begin());
  std::array<uint8_t, protocol::kInitiationPayloadSize> payload;
  protocol::EncodeInitiationPayload({o.parameters, o.timestamp}, absl::MakeSpan(payload));
  it.noise_ = StartNoise(o, f.prologue);
  if (it.noise_->WriteMessage(payload, rng, f.noise) != NoiseError::kNone) {
    return absl::InvalidArgumentError(
        "the peer's public key is of low order and protects nothing: check PublicKey");
  }
  it.ephemeral_ = it.noise_->local_ephemeral();
  const Mac mac1 = ComputeMac1(it.remote_mac_keys_, f.mac1_input);
  std::copy(mac1.begin(), mac1.end(), f.mac1.begin());
  if (o.cookie) {
    const Mac mac2 = ComputeMac2(*o.cookie, f.mac2_input);
    std::copy(mac2.begin(), mac2.end(), f.mac2.begin());
  }
  return it;
}

absl::Span<const uint8_t> Initiator::mac1() const {
  return frame().subspan(frame_size_ - 2 * protocol::kMacSize, protocol::kMacSize);
}

DropOr<SessionSecrets> Initiator::ConsumeResponse(absl::Span<const uint8_t> frame) {
  DropOr<protocol::ResponseView> view = protocol::ParseResponse(frame);
  if (!view.ok()) return view.reason();
  if (!noise_ || view->receiver_index != sender_index_) return cipe_drop_hs_unknown_index;
  if (view->pattern != pattern_) return cipe_drop_hs_other_pattern;
  if (view->suite != static_cast<uint8_t>(suite_)) return cipe_drop_hs_other_suite;
  if (!CheckMac1(own_mac_keys_, view->mac1_input, view->mac1)) return cipe_drop_hs_bad_mac1;

  NoiseHandshake attempt = noise_->Clone();
  std::array<uint8_t, protocol::kResponsePayloadSize> octets;
  switch (attempt.ReadMessage(view->noise, absl::MakeSpan(octets))) {
    case NoiseError::kNone:
      break;
    case NoiseError::kLowOrderKey:
      return cipe_drop_hs_low_order_key;
    case NoiseError::kBadLength:
    case NoiseError::kDecryptFailed:
      // IKpsk2 mixes the psk into this message only: that it passed mac1 and does not open is what
      // a wrong psk looks like.
      return pattern_ == Pattern::kIkPsk2 ? cipe_drop_hs_wrong_psk : cipe_drop_hs_decrypt_failed;
  }
  DropOr<protocol::ResponsePayload> payload = protocol::DecodeResponsePayload(octets);
  if (!payload.ok()) return payload.reason();
  if (payload->initiator_index != sender_index_ || payload->responder_index != view->sender_index) {
    return cipe_drop_hs_bad_parameters;
  }
  if (payload->parameters.node_id == node_id_) return cipe_drop_hs_reflected;

  // Everything holds: commit.
  SessionSecrets s;
  s.suite = suite_;
  s.pattern = pattern_;
  s.initiator = true;
  attempt.Split(&s.send_key, &s.receive_key);
  s.local_index = sender_index_;
  s.remote_index = view->sender_index;
  s.remote = payload->parameters;
  s.initiation_ephemeral = ephemeral_;
  s.handshake_hash = attempt.hash();
  noise_.reset();
  return s;
}

DropOr<bool> Initiator::ConsumeCookieReply(absl::Span<const uint8_t> frame, Instant now,
                                           CookieHolder& holder) const {
  DropOr<protocol::CookieReplyView> view = protocol::ParseCookieReply(frame);
  if (!view.ok()) return view.reason();
  if (!noise_ || view->receiver_index != sender_index_) return cipe_drop_hs_unknown_index;
  if (view->pattern != pattern_) return cipe_drop_hs_other_pattern;
  if (view->suite != static_cast<uint8_t>(suite_)) return cipe_drop_hs_other_suite;
  return holder.Open(*view, remote_mac_keys_, mac1(), now);
}

}  // namespace cipe::handshake
