// Checks that look at more than one option of a file (FinishDraft) or at several files
// (CheckAcross).
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/config.h"
#include "config/draft.h"
#include "config/keys.h"
#include "config/parse_error.h"
#include "config/secret_index.h"
#include "crypto/x25519.h"

namespace cipe::config {
namespace {

std::string DefaultPeerName(const Peer& peer, size_t position) {
  // The start of a shared key would give octets of a secret away: those peers are numbered.
  if (peer.auth == Auth::kSharedKey) return absl::StrCat("shared-", position);
  return FormatPublicKey(peer.public_key).substr(0, 8);
}

absl::Status CheckNames(Draft* draft) {
  std::map<std::string, int> line_of;
  for (size_t i = 0; i < draft->tunnel.peers.size(); ++i) {
    Peer& peer = draft->tunnel.peers[i];
    const PeerPlaces& places = draft->peers[i];
    const bool given = !peer.name.empty();
    if (!given) peer.name = DefaultPeerName(peer, i + 1);
    const Place place = given ? places.name : places.section;
    const auto [it, is_new] = line_of.emplace(peer.name, place.line);
    if (is_new) continue;
    return ErrorAt(draft->tunnel.path, place,
                   absl::StrCat("found a second peer named ", Quoted(peer.name),
                                " (the first is in line ", it->second, "), expected another Name"));
  }
  return absl::OkStatus();
}

absl::Status CheckPublicKeys(const Draft& draft) {
  const Tunnel& tunnel = draft.tunnel;
  std::map<PublicKeyBytes, const Peer*> peer_of;
  std::optional<PublicKeyBytes> own;
  if (tunnel.private_key) {
    CIPE_ASSIGN_OR_RETURN(own, PublicKey(*tunnel.private_key));
  }
  for (size_t i = 0; i < tunnel.peers.size(); ++i) {
    const Peer& peer = tunnel.peers[i];
    if (peer.auth != Auth::kPublicKey) continue;
    const auto fail = [&](absl::string_view m) {
      return ErrorAt(tunnel.path, draft.peers[i].key, m);
    };
    if (!own) {
      return fail(
          "found a peer with a PublicKey, expected PrivateKey or PrivateKeyFile in [Interface]");
    }
    if (peer.public_key == *own) {
      return fail(
          "found the public key of this host itself, expected the peer's ('cipectl pubkey' there)");
    }
    const auto [it, is_new] = peer_of.emplace(peer.public_key, &peer);
    if (!is_new) {
      return fail(absl::StrCat("found the PublicKey of peer ", Quoted(it->second->name),
                               " again in peer ", Quoted(peer.name),
                               ", expected a key of its own"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSharedKeys(const Draft& draft) {
  const std::vector<Peer>& peers = draft.tunnel.peers;
  SecretIndex index;
  for (size_t i = 0; i < peers.size(); ++i) {
    if (!peers[i].shared_key) continue;
    const std::optional<size_t> same = index.Insert(peers[i].shared_key->UnsafeBytes(), i);
    if (!same.has_value()) continue;
    return ErrorAt(draft.tunnel.path, draft.peers[i].key,
                   absl::StrCat("found the SharedKey of peer ", Quoted(peers[*same].name),
                                " again in peer ", Quoted(peers[i].name),
                                ", expected a key of its own: frames could not be told apart"));
  }
  return absl::OkStatus();
}

absl::Status CheckPeerCount(const Draft& draft) {
  if (draft.peers.size() <= kMaxPeers) return absl::OkStatus();
  return ErrorAt(draft.tunnel.path, draft.peers[kMaxPeers].section,
                 absl::StrCat("found ", draft.peers.size(), " peers, expected at most ", kMaxPeers,
                              " (of all tunnels together): use a second host"));
}

// A prefix that one peer names twice is kept once.
void DropRepeatedPrefixes(Peer* peer, PeerPlaces* places) {
  std::set<IpPrefix> seen;
  size_t kept = 0;
  for (size_t i = 0; i < peer->allowed_ips.size(); ++i) {
    if (!seen.insert(peer->allowed_ips[i]).second) continue;
    peer->allowed_ips[kept] = peer->allowed_ips[i];
    places->allowed_ips[kept++] = places->allowed_ips[i];
  }
  peer->allowed_ips.resize(kept);
  places->allowed_ips.resize(kept);
}

// The other end's file, copied: nothing would ever go through.
absl::Status CheckNotOwn(const Draft& draft) {
  std::set<IpAddress> own;
  for (const IpPrefix& prefix : draft.tunnel.addresses) own.insert(prefix.address);
  for (size_t i = 0; i < draft.tunnel.peers.size(); ++i) {
    const Peer& peer = draft.tunnel.peers[i];
    for (size_t k = 0; k < peer.allowed_ips.size(); ++k) {
      const IpPrefix& prefix = peer.allowed_ips[k];
      if (prefix.length != prefix.address.bits() || !own.contains(prefix.address)) continue;
      return ErrorAt(draft.tunnel.path, draft.peers[i].allowed_ips[k],
                     absl::StrCat("found ", prefix.ToString(), " in the AllowedIPs of peer ",
                                  Quoted(peer.name),
                                  ", which is this tunnel's own Address, expected "
                                  "addresses of the peer"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAllowedIps(const Draft& draft) {
  std::map<IpPrefix, const Peer*> peer_of;
  for (size_t i = 0; i < draft.tunnel.peers.size(); ++i) {
    const Peer& peer = draft.tunnel.peers[i];
    for (size_t k = 0; k < peer.allowed_ips.size(); ++k) {
      const auto [it, is_new] = peer_of.emplace(peer.allowed_ips[k], &peer);
      if (is_new) continue;
      return ErrorAt(
          draft.tunnel.path, draft.peers[i].allowed_ips[k],
          absl::StrCat("found ", peer.allowed_ips[k].ToString(), " in the AllowedIPs of peer ",
                       Quoted(it->second->name), " and of peer ", Quoted(peer.name),
                       ", expected it with one peer only"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMtu(const Draft& draft) {
  const int mtu = draft.tunnel.mtu;
  const int least = static_cast<int>(LeastMtu(draft.tunnel));
  if (mtu == 0 || mtu >= least) return absl::OkStatus();
  return ErrorAt(
      draft.tunnel.path, draft.mtu,
      absl::StrCat("found MTU ", mtu, " with IPv6 inside the tunnel, expected at least ", least));
}

// One secret of a tunnel, for comparisons between tunnels.
struct SecretUse {
  const Tunnel* tunnel;
  std::string what;
  absl::Span<const uint8_t> octets;
};

std::vector<SecretUse> SecretsWithSuite(absl::Span<const Tunnel* const> tunnels, Suite suite) {
  std::vector<SecretUse> uses;
  for (const Tunnel* t : tunnels) {
    if (t->suite != suite) continue;
    if (t->private_key) uses.push_back({t, "private key", t->private_key->UnsafeBytes()});
    for (const Peer& p : t->peers) {
      const std::string of = absl::StrCat(" of peer ", Quoted(p.name));
      if (p.shared_key) uses.push_back({t, "shared key" + of, p.shared_key->UnsafeBytes()});
      if (p.preshared_key)
        uses.push_back({t, "preshared key" + of, p.preshared_key->UnsafeBytes()});
    }
  }
  return uses;
}

// Two equal routes: the kernel would take one, and never say that the other tunnel is for nothing.
absl::Status CheckClassicRoutes(absl::Span<const Tunnel* const> tunnels) {
  std::map<std::pair<IpAddress, int>, const Tunnel*> by_route;
  for (const Tunnel* t : tunnels) {
    if (!t->classic.has_value() || t->classic->LearnsPtpaddr()) continue;
    const auto [it, is_new] =
        by_route.emplace(std::pair(t->classic->ptpaddr, t->classic->metric), t);
    if (is_new) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("tunnels '", it->second->name, "' and '", t->name, "' have the same ptpaddr, ",
                     t->classic->ptpaddr.ToString(),
                     ", and the same metric: only one would ever be used; take "
                     "one down, or give it another metric"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status FinishDraft(Draft* draft) {
  for (size_t i = 0; i < draft->peers.size(); ++i) {
    DropRepeatedPrefixes(&draft->tunnel.peers[i], &draft->peers[i]);
  }
  CIPE_RETURN_IF_ERROR(CheckPeerCount(*draft));
  CIPE_RETURN_IF_ERROR(CheckNames(draft));
  CIPE_RETURN_IF_ERROR(CheckPublicKeys(*draft));
  CIPE_RETURN_IF_ERROR(CheckSharedKeys(*draft));
  CIPE_RETURN_IF_ERROR(CheckAllowedIps(*draft));
  CIPE_RETURN_IF_ERROR(CheckNotOwn(*draft));
  return CheckMtu(*draft);
}

absl::Status CheckAcross(absl::Span<const Tunnel* const> tunnels) {
  std::map<std::string, const Tunnel*> by_name;
  size_t peers = 0;
  for (const Tunnel* t : tunnels) {
    peers += t->peers.size();
    if (peers > kMaxPeers) {
      return absl::ResourceExhaustedError(
          absl::StrCat("tunnel '", t->name, "' with its ", t->peers.size(), " peers makes ", peers,
                       " peers in all tunnels together, and one ciped has room for ", kMaxPeers));
    }
    const auto [it, is_new] = by_name.emplace(t->name, t);
    if (is_new) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "tunnel '", t->name, "' is there twice: ", it->second->path, " and ", t->path));
  }
  CIPE_RETURN_IF_ERROR(CheckClassicRoutes(tunnels));
  const auto aes = SecretsWithSuite(tunnels, Suite::kAesGcmSha256);
  const auto chacha = SecretsWithSuite(tunnels, Suite::kChaChaPolyBlake2s);
  if (aes.empty() || chacha.empty()) return absl::OkStatus();
  SecretIndex index;
  for (size_t i = 0; i < aes.size(); ++i) index.Insert(aes[i].octets, i);
  for (const SecretUse& c : chacha) {
    const std::optional<size_t> same = index.Find(c.octets);
    if (!same.has_value()) continue;
    const SecretUse& a = aes[*same];
    return absl::FailedPreconditionError(
        absl::StrCat("the ", a.what, " in tunnel '", a.tunnel->name,
                     "' (suite aes256gcm) is also the ", c.what, " in tunnel '", c.tunnel->name,
                     "' (suite chacha20poly1305): one key must not serve two suites; make a new "
                     "key or use one Suite for both"));
  }
  return absl::OkStatus();
}

absl::Status CheckAcross(absl::Span<const Tunnel> tunnels) {
  std::vector<const Tunnel*> pointers;
  for (const Tunnel& t : tunnels) pointers.push_back(&t);
  return CheckAcross(absl::MakeConstSpan(pointers));
}

}  // namespace cipe::config
