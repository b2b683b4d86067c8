// What workers know of a tunnel. Made by the control thread before workers see it, freed after
// every worker has let go of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/classic_path.h"
#include "peers/allowed_ips.h"
#include "session/peer_path.h"

namespace cipe::dataplane {

// Immutable once published: prefixes to positions in `peers`.
struct PeerMap {
  AllowedIps allowed_ips;
  std::vector<session::PeerPath*> peers;

  // Who holds the address (network order, 4 or 16 octets); null for nobody.
  session::PeerPath* Find(bool v4, const uint8_t* address) const {
    const uint32_t peer = v4 ? allowed_ips.LookupV4(address) : allowed_ips.LookupV6(address);
    return peer == AllowedIps::kNoPeer ? nullptr : peers[peer];
  }
};

struct TunnelPath {
  uint32_t tunnel = 0;
  uint16_t listen_port = 0;
  bool uso = false;  // the netdev takes UDP runs as one packet
  std::atomic<bool> mss_clamp{true};
  // What a peer takes is sent up to this size, in fragments where the path carries less.
  std::atomic<uint32_t> least_mtu{0};
  // Of the inner traffic class the outer one has these bits, and those of `tos_value` beside them.
  std::atomic<uint8_t> tos_mask{3};  // the ECN field alone (RFC 6040)
  std::atomic<uint8_t> tos_value{0};
  std::atomic<const PeerMap*> peer_map{nullptr};
  ClassicPath* classic = nullptr;  // protocol 3; null for protocol 5
  session::DropCounters drops;     // what cannot be laid at a peer's door
};

}  // namespace cipe::dataplane
