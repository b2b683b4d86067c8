#include "handshake/responder.h"

#include <algorithm>
#include <utility>

#include "handshake/cookie.h"
#include "handshake/prologue.h"

namespace cipe::handshake {
namespace {

using protocol::DropOr;
using protocol::Pattern;

cipe_drop_reason ReasonOf(NoiseError error) {
  return error == NoiseError::kLowOrderKey ? cipe_drop_hs_low_order_key
                                           : cipe_drop_hs_decrypt_failed;
}

NoiseHandshake StartNoise(const ListenerKeys& keys, const PeekedInitiation& peeked) {
  NoiseHandshake::Keys noise_keys;
  if (peeked.view.pattern == Pattern::kIkPsk2) {
    noise_keys.local_static = &keys.identity()->private_key();
    noise_keys.local_static_public = keys.identity()->public_key();
  } else {
    noise_keys.psk = &peeked.shared->psk();
  }
  return NoiseHandshake(peeked.view.pattern, keys.suite(), /*initiator=*/false,
                        MakePrologue(peeked.view.prologue), noise_keys);
}

}  // namespace

absl::Status ListenerKeys::AddSharedKey(const SharedKeyIdentity* shared) {
  if (!shared_.emplace(shared->key_id(), shared).second) {
    return absl::AlreadyExistsError(
        "two peers of one listener have the same SharedKey, so their handshakes cannot be told "
        "apart: give each its own (cipectl genpsk)");
  }
  return absl::OkStatus();
}

DropOr<PeekedInitiation> ListenerKeys::Peek(absl::Span<const uint8_t> frame) const {
  DropOr<protocol::InitiationView> view = protocol::ParseInitiation(frame);
  if (!view.ok()) return view.reason();
  PeekedInitiation peeked;
  peeked.view = *view;
  if (view->pattern == Pattern::kIkPsk2) {
    if (identity_ == nullptr) return cipe_drop_hs_other_pattern;
    peeked.mac_keys = &identity_->mac_keys();
  } else {
    if (shared_.empty()) return cipe_drop_hs_other_pattern;
    KeyId id;
    std::copy(view->key_id.begin(), view->key_id.end(), id.begin());
    const auto it = shared_.find(id);
    if (it == shared_.end()) return cipe_drop_hs_unknown_peer;
    peeked.shared = it->second;
    peeked.mac_keys = &it->second->mac_keys();
  }
  if (!CheckMac1(*peeked.mac_keys, view->mac1_input, view->mac1)) return cipe_drop_hs_bad_mac1;
  if (view->suite != static_cast<uint8_t>(suite_)) return cipe_drop_hs_other_suite;
  return peeked;
}

DropOr<Responder> Responder::Create(const ListenerKeys& keys, const PeekedInitiation& peeked) {
  const protocol::InitiationView& view = peeked.view;
  Responder r(StartNoise(keys, peeked));
  r.pattern_ = view.pattern;
  r.suite_ = keys.suite();
  r.initiator_index_ = view.sender_index;
  std::copy(view.ephemeral.begin(), view.ephemeral.end(), r.ephemeral_.begin());
  size_t consumed = 0;
  const NoiseError error = r.noise_.ReadUntilStatic(view.noise, &consumed);
  if (error != NoiseError::kNone) return ReasonOf(error);
  const absl::Span<const uint8_t> rest = view.noise.subspan(consumed);
  if (rest.size() > r.rest_.size()) return cipe_drop_hs_bad_length;
  std::copy(rest.begin(), rest.end(), r.rest_.begin());
  r.rest_size_ = rest.size();
  if (view.pattern == Pattern::kIkPsk2) {
    r.remote_public_key_ = r.noise_.remote_static();
    r.initiator_mac_keys_ = MacKeys::ForPublicKey(r.remote_public_key_);
  } else {
    r.key_id_ = peeked.shared->key_id();
    r.initiator_mac_keys_ = peeked.shared->mac_keys().Clone();
  }
  return r;
}

DropOr<protocol::InitiationPayload> Responder::Consume(const Secret<32>* psk,
                                                       const protocol::NodeId& own_node_id) {
  if (std::exchange(stage_, Stage::kSpent) != Stage::kCreated) return cipe_drop_hs_decrypt_failed;
  if (pattern_ == Pattern::kIkPsk2 && psk != nullptr) noise_.SetPsk(*psk);
  std::array<uint8_t, protocol::kInitiationPayloadSize> octets;
  const NoiseError error =
      noise_.ReadRest(absl::MakeConstSpan(rest_).first(rest_size_), absl::MakeSpan(octets));
  if (error != NoiseError::kNone) return ReasonOf(error);
  DropOr<protocol::InitiationPayload> payload = protocol::DecodeInitiationPayload(octets);
  if (!payload.ok()) return payload.reason();
  if (payload->parameters.node_id == own_node_id) return cipe_drop_hs_reflected;
  remote_ = payload->parameters;
  stage_ = Stage::kConsumed;
  return payload;
}

DropOr<SessionSecrets> Responder::BuildResponse(const protocol::Parameters& own, uint32_t own_index,
                                                Rng& rng, absl::Span<uint8_t> out) {
  if (std::exchange(stage_, Stage::kSpent) != Stage::kConsumed || !protocol::IsValid(own) ||
      (own_index & protocol::kLaneMask) != 0 || out.size() < protocol::kResponseSize) {
    return cipe_drop_hs_bad_parameters;
  }
  protocol::ResponseFields f = protocol::LayOutResponse(pattern_, static_cast<uint8_t>(suite_),
                                                        own_index, initiator_index_, out);
  std::array<uint8_t, protocol::kResponsePayloadSize> payload;
  protocol::EncodeResponsePayload({own, initiator_index_, own_index}, absl::MakeSpan(payload));
  const NoiseError error = noise_.WriteMessage(payload, rng, f.noise);
  if (error != NoiseError::kNone) return ReasonOf(error);
  const Mac mac1 = ComputeMac1(initiator_mac_keys_, f.mac1_input);
  std::copy(mac1.begin(), mac1.end(), f.mac1.begin());

  SessionSecrets s;
  s.suite = suite_;
  s.pattern = pattern_;
  s.initiator = false;
  noise_.Split(&s.receive_key, &s.send_key);
  s.local_index = own_index;
  s.remote_index = initiator_index_;
  s.remote = remote_;
  s.initiation_ephemeral = ephemeral_;
  s.handshake_hash = noise_.hash();
  return s;
}

}  // namespace cipe::handshake
