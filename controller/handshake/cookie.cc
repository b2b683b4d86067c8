#include "handshake/cookie.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "handshake/labels.h"

namespace cipe::handshake {
namespace {

Secret<32> RandomSecret(Rng& rng) {
  Secret<32> s;
  rng.Fill(s.UnsafeMutableBytes());
  return s;
}

Cookie MakeCookie(const Secret<32>& secret, const Endpoint& source) {
  // Families differ in length and the port has two octets, so no two sources look alike.
  std::array<uint8_t, 2> port;
  StoreLe16(port.data(), source.port);
  Cookie cookie;
  KeyedBlake2s(secret.UnsafeBytes(),
               {absl::MakeConstSpan(source.address.octets).first(source.address.size()), port},
               absl::MakeSpan(cookie));
  return cookie;
}

// The salt is fresh for every reply, so the key is used once and the nonce may be zero.
Secret<32> ReplyKey(Suite suite, const MacKeys& responder, absl::Span<const uint8_t> salt) {
  const Secret<32> prk = HkdfExtract(suite, salt, responder.cookie.UnsafeBytes());
  return HkdfExpand(suite, prk, LabelOctets(kLabelCookieReply));
}

}  // namespace

Mac ComputeMac1(const MacKeys& receiver, absl::Span<const uint8_t> mac1_input) {
  Mac mac;
  KeyedBlake2s(receiver.mac1.UnsafeBytes(), mac1_input, absl::MakeSpan(mac));
  return mac;
}

Mac ComputeMac2(const Cookie& cookie, absl::Span<const uint8_t> mac2_input) {
  Mac mac;
  KeyedBlake2s(cookie, mac2_input, absl::MakeSpan(mac));
  return mac;
}

bool CheckMac1(const MacKeys& own, absl::Span<const uint8_t> mac1_input,
               absl::Span<const uint8_t> mac1) {
  return ConstantTimeEqual(ComputeMac1(own, mac1_input), mac1);
}

CookieIssuer::CookieIssuer(Rng& rng, Instant now)
    : rng_(rng), secret_(RandomSecret(rng)), since_(now) {}

void CookieIssuer::Rotate(Instant now) {
  const Duration age = now - since_;
  if (age < kCookieSecretLifetime) return;
  has_previous_ = age < 2 * kCookieSecretLifetime;
  previous_ = std::move(secret_);
  if (!has_previous_) previous_.Wipe();
  secret_ = RandomSecret(rng_);
  since_ = now;
}

Cookie CookieIssuer::CookieFor(const Endpoint& source, Instant now) {
  Rotate(now);
  return MakeCookie(secret_, source);
}

bool CookieIssuer::CheckMac2(const protocol::InitiationView& view, const Endpoint& source,
                             Instant now) {
  Rotate(now);
  const auto matches = [&](const Secret<32>& secret) {
    return ConstantTimeEqual(ComputeMac2(MakeCookie(secret, source), view.mac2_input), view.mac2);
  };
  return matches(secret_) || (has_previous_ && matches(previous_));
}

void BuildCookieReply(const protocol::InitiationView& view, const MacKeys& own,
                      const Cookie& cookie, Rng& rng, absl::Span<uint8_t> out) {
  protocol::CookieReplyFields f =
      protocol::LayOutCookieReply(view.pattern, view.suite, view.sender_index, out);
  rng.Fill(f.salt);
  const Suite suite = static_cast<Suite>(view.suite);
  SealOnce(suite, ReplyKey(suite, own, f.salt), std::array<uint8_t, kAeadNonceSize>{}, view.mac1,
           cookie, f.sealed.data());
}

protocol::DropOr<bool> CookieHolder::Open(const protocol::CookieReplyView& reply,
                                          const MacKeys& remote,
                                          absl::Span<const uint8_t> mac1_sent, Instant now) {
  const Suite suite = static_cast<Suite>(reply.suite);
  Cookie cookie;
  if (!OpenOnce(suite, ReplyKey(suite, remote, reply.salt), std::array<uint8_t, kAeadNonceSize>{},
                mac1_sent, reply.sealed, cookie.data())) {
    return cipe_drop_hs_bad_cookie;
  }
  cookie_ = cookie;
  received_ = now;
  return true;
}

std::optional<Cookie> CookieHolder::Get(Instant now) const {
  if (!cookie_ || now - received_ >= kCookieLifetime) return std::nullopt;
  return cookie_;
}

}  // namespace cipe::handshake
