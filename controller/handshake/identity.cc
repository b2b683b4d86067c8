#include "handshake/identity.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"
#include "handshake/labels.h"

namespace cipe::handshake {
namespace {

// Key octets of a public value: a hash of what everybody may know, so macs made with it only show
// that the sender knows whom he talks to.
Secret<32> DerivePublic(absl::string_view label, const PublicKeyOctets& key) {
  return Secret<32>::FromSpan(Hash(Suite::kChaChaPolyBlake2s, LabelOctets(label), key));
}

void Expand(const Secret<32>& prk, absl::string_view label, size_t key_size,
            absl::Span<uint8_t> out) {
  std::string info(label);
  info.push_back(static_cast<char>(key_size));
  HkdfExpand(Suite::kAesGcmSha256, prk, LabelOctets(info), out);
}

}  // namespace

MacKeys MacKeys::ForPublicKey(const PublicKeyOctets& key) {
  return MacKeys{DerivePublic(kLabelMac1Key, key), DerivePublic(kLabelCookieKey, key)};
}

MacKeys MacKeys::Clone() const { return MacKeys{mac1.Clone(), cookie.Clone()}; }

Identity::Identity(Secret<32> private_key, const PublicKeyOctets& public_key)
    : private_key_(std::move(private_key)),
      public_key_(public_key),
      mac_keys_(MacKeys::ForPublicKey(public_key)) {}

absl::StatusOr<Identity> Identity::Create(const Secret<32>& private_key) {
  absl::StatusOr<PublicKeyBytes> public_key = PublicKey(private_key);
  if (!public_key.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("private key gives no public key: ", public_key.status().message(),
                     "; make one with `cipectl genkey`"));
  }
  return Identity(private_key.Clone(), *public_key);
}

absl::StatusOr<SharedKeyIdentity> SharedKeyIdentity::Create(const SecretBytes& key) {
  return Create(key.UnsafeBytes());
}

absl::StatusOr<SharedKeyIdentity> SharedKeyIdentity::Create(absl::Span<const uint8_t> key) {
  if (key.size() != 16 && key.size() != 32) {
    return absl::InvalidArgumentError(absl::StrCat("shared key has ", key.size(),
                                                   " octets; it must have 16 or 32: make one with "
                                                   "`cipectl genpsk`"));
  }
  // SHA-256 whatever the suite, so that a peer configured with the other suite is still recognised
  // and the mismatch can be named.
  const Secret<32> prk = HkdfExtract(Suite::kAesGcmSha256, LabelOctets(kLabelSharedKey), key);
  SharedKeyIdentity s;
  Expand(prk, kLabelPsk, key.size(), s.psk_.UnsafeMutableBytes());
  Expand(prk, kLabelMac1Key, key.size(), s.mac_keys_.mac1.UnsafeMutableBytes());
  Expand(prk, kLabelCookieKey, key.size(), s.mac_keys_.cookie.UnsafeMutableBytes());
  Expand(prk, kLabelKeyId, key.size(), absl::MakeSpan(s.key_id_));
  return s;
}

}  // namespace cipe::handshake
