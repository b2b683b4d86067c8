// The side that answers, in steps, so that the engine can look up the peer, ask for a cookie or
// give up between them. The cheap checks come first:
//
//   ListenerKeys::Peek     parse, mac1, suite                      (no public-key operation)
//   [under load: CookieIssuer::Check, RateLimiter]
//   Responder::Create      IKpsk2: es, static key; NNpsk0: nothing (one X25519)
//   [engine finds the peer by remote_public_key() or key_id()]
//   Responder::Consume     parameters and time stamp               (one X25519)
//   [engine checks and stores the time stamp]
//   Responder::BuildResponse
#pragma once

#include <cstdint>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/rng.h"
#include "handshake/identity.h"
#include "handshake/noise.h"
#include "handshake/session_secrets.h"
#include "protocol/drop_or.h"
#include "protocol/frame.h"

namespace cipe::handshake {

// An initiation that passed mac1. Points into the frame and into the ListenerKeys.
struct PeekedInitiation {
  protocol::InitiationView view;
  const MacKeys* mac_keys = nullptr;          // the listener's, for a cookie reply
  const SharedKeyIdentity* shared = nullptr;  // NNpsk0 only
};

// The keys one listener answers to. Does not own them.
class ListenerKeys {
 public:
  // `identity` may be null (shared keys only).
  ListenerKeys(Suite suite, const Identity* identity) : suite_(suite), identity_(identity) {}

  // AlreadyExists when the key id is there: two peers of one listener must not share a key.
  absl::Status AddSharedKey(const SharedKeyIdentity* shared);
  void RemoveSharedKey(const KeyId& id) { shared_.erase(id); }

  // Drop reasons: those of ParseInitiation; hs_other_pattern (no such key here), hs_unknown_peer
  // (key id), hs_bad_mac1, hs_other_suite (after mac1: so the sender does know our key).
  protocol::DropOr<PeekedInitiation> Peek(absl::Span<const uint8_t> frame) const;

  Suite suite() const { return suite_; }
  const Identity* identity() const { return identity_; }

 private:
  Suite suite_;
  const Identity* identity_;
  absl::flat_hash_map<KeyId, const SharedKeyIdentity*> shared_;
};

// Nothing of what it returns may take effect before the first data frame under its keys was opened.
class Responder {
 public:
  // Drop reasons: hs_low_order_key, hs_decrypt_failed. The octets behind `peeked` may go away.
  static protocol::DropOr<Responder> Create(const ListenerKeys& keys,
                                            const PeekedInitiation& peeked);

  protocol::Pattern pattern() const { return pattern_; }
  // Who says to have sent it: IKpsk2 public_key, NNpsk0 key_id. The claim is proved by Consume.
  const PublicKeyOctets& remote_public_key() const { return remote_public_key_; }
  const KeyId& key_id() const { return key_id_; }
  uint32_t initiator_index() const { return initiator_index_; }
  const std::array<uint8_t, 32>& ephemeral() const { return ephemeral_; }

  // `psk` of the peer found (IKpsk2; null = zeros; ignored for NNpsk0). `own_node_id` decides
  // reflection. Call once. Drop reasons: hs_low_order_key, hs_decrypt_failed, hs_bad_parameters,
  // hs_reflected (checked before the time stamp is given out).
  protocol::DropOr<protocol::InitiationPayload> Consume(const Secret<32>* psk,
                                                        const protocol::NodeId& own_node_id);

  // After Consume, once. Writes kResponseSize octets to `out`. `own_index` has lane bits zero.
  // Drop reasons: hs_low_order_key; hs_bad_parameters when `own` is not valid or the order of calls
  // was not kept.
  protocol::DropOr<SessionSecrets> BuildResponse(const protocol::Parameters& own,
                                                 uint32_t own_index, Rng& rng,
                                                 absl::Span<uint8_t> out);

 private:
  explicit Responder(NoiseHandshake noise) : noise_(std::move(noise)) {}

  enum class Stage { kCreated, kConsumed, kSpent };
  Stage stage_ = Stage::kCreated;
  protocol::Pattern pattern_{};
  Suite suite_{};
  uint32_t initiator_index_ = 0;
  PublicKeyOctets remote_public_key_{};
  KeyId key_id_{};
  std::array<uint8_t, 32> ephemeral_{};
  NoiseHandshake noise_;
  MacKeys initiator_mac_keys_;
  protocol::Parameters remote_;
  // What is left of the Noise message after Create (NNpsk0: all of it).
  std::array<uint8_t, protocol::kKeySize + protocol::kSealedInitiationSize> rest_{};
  size_t rest_size_ = 0;
};

}  // namespace cipe::handshake
