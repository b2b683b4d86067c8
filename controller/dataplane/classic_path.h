// What workers know of a tunnel of protocol 3, beside its TunnelPath. Made by the control thread
// before workers see the tunnel; freed with it.
#pragma once

#include <atomic>
#include <cstdint>

#include "classic/link.h"
#include "session/peer_path.h"

namespace cipe::dataplane {

struct ClassicPath {
  classic::Link* link = nullptr;      // null: nokey, bare IP packets without any protection
  session::PeerPath* peer = nullptr;  // the only one; behind SOCKS its path is the real peer's
  uint8_t ttl = 0;                    // of carrier packets; 0 = the inner packet's
  bool udp_checksum = true;
  bool socks = false;       // every datagram goes by way of `relay`
  bool roam_any = false;    // report other sources whatever the key
  session::PathCell relay;  // unset while there is none

  std::atomic<bool> peer_known{false};  // false: report whoever comes
  std::atomic<bool> want_inner{false};  // report the next inner source address, once
  // CLOCK_BOOTTIME, nanoseconds: until then a missing sending key is worth waiting for without
  // reading more packets from the netdev. 0 = never.
  std::atomic<int64_t> pause_until{0};

  session::Path SendPath() const { return socks ? relay.Get() : peer->path.Get(); }
};

}  // namespace cipe::dataplane
