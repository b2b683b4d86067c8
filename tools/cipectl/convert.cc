#include "tools/cipectl/convert.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/keys.h"
#include "crypto/x25519.h"

namespace cipe::cipectl {
namespace {

using config::ClassicOptions;
using config::SecretText;

constexpr uint16_t kUsualPort = 6789;

// One end, without its keys.
struct End {
  IpAddress address;
  IpAddress peer_address;
  uint16_t port = 0;     // own; 0: any
  std::string endpoint;  // of the other end; empty: not known, that end has to begin
  bool begins = false;   // nobody else does
};

SecretText Concat(std::initializer_list<absl::string_view> parts) {
  size_t size = 0;
  for (const absl::string_view part : parts) size += part.size();
  SecretText text(size);
  char* out = text.UnsafeMutableData();
  for (const absl::string_view part : parts) {
    std::memcpy(out, part.data(), part.size());
    out += part.size();
  }
  return text;
}

std::string Head(const ClassicOptions& o, const End& end, const std::string& where) {
  std::string text =
      absl::StrCat("# ", where, "\n[Interface]\nAddress = ", end.address.ToString(), "/32\n");
  if (end.port != 0) absl::StrAppend(&text, "ListenPort = ", end.port, "\n");
  if (o.mtu != config::kClassicMtu) absl::StrAppend(&text, "MTU = ", std::max(o.mtu, 576), "\n");
  if (o.datapath != config::Datapath::kAuto) {
    absl::StrAppend(&text, "Datapath = ", config::DatapathName(o.datapath), "\n");
  }
  return text;
}

std::string Tail(const ClassicOptions& o, const End& end) {
  std::string text;
  if (!end.endpoint.empty()) {
    absl::StrAppend(&text, "Endpoint = ", end.endpoint, "\n");
  } else if (end.begins) {
    text +=
        "# FILL IN: where the other end is reached. Without it neither end can begin.\n"
        "# Endpoint = ADDRESS:PORT\n";
  } else {
    text += "# No Endpoint: it is learned when the other end begins.\n";
  }
  if (o.ping > 0) {
    absl::StrAppend(&text, "PersistentKeepalive = ", std::min(o.ping, 65535), "\n");
  }
  absl::StrAppend(&text, "# Add the networks behind the peer that ip-up routed there.\n",
                  "AllowedIPs = ", end.peer_address.ToString(), "/32\n");
  return text;
}

SecretText SharedKeyLine(const ClassicOptions& o, Rng& rng) {
  if (o.key.has_value()) {
    return config::EncodeSecretBase64(o.key->UnsafeBytes());
  }
  Secret<32> key;
  rng.Fill(key.UnsafeMutableBytes());
  return config::EncodeSecretBase64(key.UnsafeBytes());
}

SecretText WithSharedKey(const ClassicOptions& o, const End& end, const std::string& where,
                         const SecretText& key) {
  return Concat({Head(o, end, where), "\n[Peer]\nName = peer\nSharedKey = ", key.UnsafeView(), "\n",
                 Tail(o, end)});
}

SecretText WithKeyPair(const ClassicOptions& o, const End& end, const std::string& where,
                       const Secret<32>& own, const PublicKeyBytes& peer) {
  const SecretText key = config::FormatSecretKey(own);
  return Concat({Head(o, end, where), "PrivateKey = ", key.UnsafeView(),
                 "\n\n[Peer]\nName = peer\nPublicKey = ", config::FormatPublicKey(peer), "\n",
                 Tail(o, end)});
}

bool IsHost(const std::string& host) { return !host.empty() && host != "0.0.0.0"; }

}  // namespace

absl::StatusOr<Converted> Convert(const ClassicOptions& o, const std::string& name, bool keys,
                                  Rng& rng) {
  if (o.LearnsPtpaddr()) {
    return absl::FailedPreconditionError(
        "ptpaddr is 0.0.0.0, to be learned, and protocol 5 accepts no packets from addresses that "
        "are not in AllowedIPs: write the peer's address there and convert again");
  }
  End here, there;
  here.address = there.peer_address = o.ipaddr;
  there.address = here.peer_address = o.ptpaddr;
  here.port = o.me.port != 0 ? o.me.port : o.LearnsPeer() ? kUsualPort : 0;
  if (!o.LearnsPeer()) {
    here.endpoint = o.peer.ToString();
    there.port = o.peer.port;
  }
  if (IsHost(o.me.host) && here.port != 0) {
    there.endpoint = config::EndpointSpec{o.me.host, here.port}.ToString();
  }
  // One of them has to begin, and that is the one whose peer is to be learned here.
  there.begins = here.endpoint.empty();
  const std::string file = absl::StrCat("/etc/cipe/", name, ".conf");
  const std::string at_here = absl::StrCat("This end: ", file, ", mode 600");
  const std::string at_there = absl::StrCat("The other end: ", file, ", mode 600");
  if (!keys) {
    const SecretText key = SharedKeyLine(o, rng);
    return Converted{WithSharedKey(o, here, at_here, key), WithSharedKey(o, there, at_there, key)};
  }
  const Secret<32> own = GeneratePrivateKey(rng), other = GeneratePrivateKey(rng);
  CIPE_ASSIGN_OR_RETURN(const PublicKeyBytes own_public, PublicKey(own));
  CIPE_ASSIGN_OR_RETURN(const PublicKeyBytes other_public, PublicKey(other));
  return Converted{WithKeyPair(o, here, at_here, own, other_public),
                   WithKeyPair(o, there, at_there, other, own_public)};
}

}  // namespace cipe::cipectl
