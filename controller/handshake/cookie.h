// mac1, mac2 and cookies: who asks under load must show that he receives at his source address.
// After WireGuard (Donenfeld 2017, sections 5.4.4 and 5.4.7); differences in docs/protocol.md.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "base/clock.h"
#include "base/ip_address.h"
#include "base/rng.h"
#include "crypto/secret.h"
#include "crypto/suite.h"
#include "handshake/identity.h"
#include "protocol/drop_or.h"
#include "protocol/frame.h"

namespace cipe::handshake {

using Mac = std::array<uint8_t, protocol::kMacSize>;
using Cookie = std::array<uint8_t, protocol::kCookieSize>;

inline constexpr auto kCookieSecretLifetime = std::chrono::seconds(120);
inline constexpr auto kCookieLifetime = std::chrono::seconds(120);

// BLAKE2s-128 (RFC 7693) keyed with the receiver's mac1 key, or with a cookie; whatever the suite.
Mac ComputeMac1(const MacKeys& receiver, absl::Span<const uint8_t> mac1_input);
Mac ComputeMac2(const Cookie& cookie, absl::Span<const uint8_t> mac2_input);
bool CheckMac1(const MacKeys& own, absl::Span<const uint8_t> mac1_input,
               absl::Span<const uint8_t> mac1);

// Responder: makes and checks cookies without keeping anything per source.
class CookieIssuer {
 public:
  // `rng` is used at construction and whenever the secret is renewed; must outlive the issuer.
  CookieIssuer(Rng& rng, Instant now);

  // Cookie of a source; a new secret every 120 s.
  Cookie CookieFor(const Endpoint& source, Instant now);
  // Whether mac2 was made with a cookie of this source, from the present secret or the one before.
  bool CheckMac2(const protocol::InitiationView& view, const Endpoint& source, Instant now);

 private:
  void Rotate(Instant now);

  Rng& rng_;
  Secret<32> secret_;
  Secret<32> previous_;
  bool has_previous_ = false;
  Instant since_;
};

// Writes kCookieReplySize octets: the answer to `view`, which must have passed mac1. `own` are the
// mac keys it passed with (PeekedInitiation::mac_keys).
void BuildCookieReply(const protocol::InitiationView& view, const MacKeys& own,
                      const Cookie& cookie, Rng& rng, absl::Span<uint8_t> out);

// Initiator: the last cookie of one peer.
class CookieHolder {
 public:
  // Error contract: a reply that does not open (hs_bad_cookie) changes nothing.
  protocol::DropOr<bool> Open(const protocol::CookieReplyView& reply, const MacKeys& remote,
                              absl::Span<const uint8_t> mac1_sent, Instant now);
  // Until 120 s after it came.
  std::optional<Cookie> Get(Instant now) const;
  void Forget() { cookie_.reset(); }

 private:
  std::optional<Cookie> cookie_;
  Instant received_{};
};

}  // namespace cipe::handshake
