#include "broker/tunnel_plan.h"

#include <algorithm>

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

}  // namespace cipe::broker
