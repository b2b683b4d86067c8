#include "config/model.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cipe::config {
namespace {

constexpr uint32_t kLeastIpv4Mtu = 576;
constexpr uint32_t kLeastIpv6Mtu = 1280;

}  // namespace

Peer Peer::Clone() const {
  Peer copy;
  static_cast<PeerOptions&>(copy) = *this;
  if (shared_key.has_value()) copy.shared_key = shared_key->Clone();
  if (preshared_key.has_value()) copy.preshared_key = preshared_key->Clone();
  return copy;
}

Tunnel Tunnel::Clone() const {
  Tunnel copy;
  static_cast<TunnelOptions&>(copy) = *this;
  if (private_key.has_value()) copy.private_key = private_key->Clone();
  for (const Peer& peer : peers) copy.peers.push_back(peer.Clone());
  if (classic.has_value()) copy.classic = classic->Clone();
  return copy;
}

bool HasIpv6(const std::vector<IpPrefix>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [](const IpPrefix& p) { return p.address.is_v6(); });
}

uint32_t LeastMtu(const Tunnel& tunnel) {
  return LeastMtu(tunnel, std::any_of(tunnel.peers.begin(), tunnel.peers.end(),
                                      [](const Peer& peer) { return HasIpv6(peer.allowed_ips); }));
}

uint32_t LeastMtu(const TunnelOptions& tunnel, bool ipv6_in_allowed_ips) {
  return ipv6_in_allowed_ips || HasIpv6(tunnel.addresses) ? kLeastIpv6Mtu : kLeastIpv4Mtu;
}

const char* DatapathName(Datapath datapath) {
  switch (datapath) {
    case Datapath::kAuto:
      return "auto";
    case Datapath::kXdp:
      return "xdp";
    case Datapath::kAfxdp:
      return "afxdp";
    case Datapath::kSocket:
      return "socket";
  }
  return "unknown";
}

std::string EndpointSpec::ToString() const {
  if (absl::StrContains(host, ':')) return absl::StrCat("[", host, "]:", port);
  return absl::StrCat(host, ":", port);
}

}  // namespace cipe::config
