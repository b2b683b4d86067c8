#include "broker/tunnel_plan.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "protocol/constants.h"

namespace cipe::broker {
namespace {

constexpr uint32_t kUsualMtu = 1500;
constexpr uint32_t kLeastIpv6Mtu = 1280;  // RFC 8200 section 5

}  // namespace

config::Tunnel CloneConfig(const config::Tunnel& config) {
  config::Tunnel copy;
  copy.name = config.name;
  copy.path = config.path;
  copy.addresses = config.addresses;
  copy.listen_port = config.listen_port;
  copy.protocol = config.protocol;
  copy.datapath = config.datapath;
  copy.suite = config.suite;
  copy.carriers = config.carriers;
  copy.lanes = config.lanes;
  copy.mtu = config.mtu;
  copy.table = config.table;
  copy.table_number = config.table_number;
  copy.fwmark = config.fwmark;
  copy.rekey_s = config.rekey_s;
  if (config.private_key.has_value()) copy.private_key = config.private_key->Clone();
  for (const config::Peer& peer : config.peers) {
    config::Peer& p = copy.peers.emplace_back();
    p.name = peer.name;
    p.auth = peer.auth;
    p.public_key = peer.public_key;
    if (peer.shared_key.has_value()) p.shared_key = peer.shared_key->Clone();
    if (peer.preshared_key.has_value()) p.preshared_key = peer.preshared_key->Clone();
    p.endpoint = peer.endpoint;
    p.allowed_ips = peer.allowed_ips;
    p.persistent_keepalive_s = peer.persistent_keepalive_s;
  }
  if (config.classic.has_value()) copy.classic = config.classic->Clone();
  return copy;
}

uint32_t TunnelMtu(const config::Tunnel& config, uint32_t path_mtu) {
  if (config.mtu > 0) return static_cast<uint32_t>(config.mtu);
  // Loopback's 65536 would be more than an outer UDP datagram can hold.
  const uint32_t path = std::min<uint32_t>(path_mtu == 0 ? kUsualMtu : path_mtu, 65535);
  const uint32_t overhead = protocol::kTunnelOverhead;
  const uint32_t left = path > overhead + 68 ? path - overhead : 68;
  // An IPv4 tunnel over a narrow carrier takes what there is; IPv6 cannot, its outer packets are
  // fragmented then.
  const uint32_t least = config::LeastMtu(config);
  return least >= kLeastIpv6Mtu ? std::max(left, least) : left;
}

uint32_t LinkMtu(const config::Tunnel& config, uint32_t own, uint32_t smallest) {
  if (config.mtu > 0) return own;
  return std::min(own, std::max(smallest, config::LeastMtu(config)));
}

absl::StatusOr<std::vector<IpPrefix>> RoutedPrefixes(const config::Tunnel& config) {
  std::set<IpPrefix> routed;
  if (config.table == config::TableChoice::kOff) return std::vector<IpPrefix>();
  for (const config::Peer& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (prefix.length == 0 && config.table == config::TableChoice::kAuto) {
        return absl::FailedPreconditionError(absl::StrCat(
            config.path, ": AllowedIPs ", prefix.ToString(), " of peer ", peer.name,
            " would take the default route, the tunnel's own packets included; set Table = off "
            "(or Table = a number) and add routes and rules yourself"));
      }
      routed.insert(prefix.Masked());
    }
  }
  if (config.table == config::TableChoice::kAuto) {
    // The kernel adds these with the addresses themselves.
    for (const IpPrefix& address : config.addresses) routed.erase(address.Masked());
  }
  return std::vector<IpPrefix>(routed.begin(), routed.end());
}

}  // namespace cipe::broker
