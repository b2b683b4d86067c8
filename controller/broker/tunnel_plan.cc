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
