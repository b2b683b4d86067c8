// What a tunnel's configuration means for its netdev: decisions without I/O. Routes: route_plan.h.
#pragma once

#include <cstdint>

#include "config/model.h"

namespace cipe::broker {

// MTU of the netdev: as configured, else what a carrier of `path_mtu` octets (0: unknown, 1500 is
// assumed) leaves, at least 1280 when IPv6 runs inside.
uint32_t TunnelMtu(const config::Tunnel& config, uint32_t path_mtu);

// MTU of the netdev now that the smallest MTU a peer announced is known: with MTU = auto the
// smaller of both, but not below config::LeastMtu; else `own`, as configured.
uint32_t LinkMtu(const config::Tunnel& config, uint32_t own, uint32_t smallest);

}  // namespace cipe::broker
