// A status with something of everything, for the tests of its renderings.
#pragma once

#include "control/snapshot.h"

namespace cipe::control {

inline Snapshot SampleSnapshot() {
  Snapshot s;
  s.time = 1700000100;
  s.daemon = {"0.1.0", 42, 43, 1, "ipsec-mb"};
  TunnelStatus t;
  t.name = "site-a";
  t.id = 1;
  t.state = TunnelState::kDegraded;
  t.reason = "peer does not answer";
  t.suite = "aes256gcm";
  t.listen_port = 6789;
  t.addresses = {"10.9.0.2/32"};
  t.mtu = 1420;
  t.rung = Rung::kAfxdpRx;
  t.rung_reason = "veth has no zero copy";
  t.rung_cause = "no_zero_copy";
  t.carriers = {{"eth0", 2, "afxdp-copy", std::nullopt}};
  t.public_key = "PUB";
  t.peers = 2;
  t.traffic = {2048, 1, 3, 4};
  t.drops = {{"rx_replayed", 3}};
  s.tunnels = {t};
  PeerSnapshot hub;
  hub.tunnel = "site-a";
  hub.name = "hub";
  hub.public_key = "HUB";
  hub.endpoint = "192.0.2.1:6789";
  hub.allowed_ips = {"10.9.0.1/32", "10.0.1.0/24"};
  hub.latest_handshake = 1700000037;
  hub.traffic = {UINT64_MAX, 1, 3, 4};
  hub.rung = Rung::kAfxdpRx;
  hub.rung_reason = "veth has no zero copy";
  hub.path_mtu = 1500;
  hub.path_mtu_source = "probe";
  hub.persistent_keepalive = 25;
  hub.status = PeerStatus::kConnected;
  hub.rtt_ms = 12.25;
  PeerSnapshot old;
  old.tunnel = "site-a";
  old.name = "old";
  old.public_key = "shared";
  old.status = PeerStatus::kNoAnswer;
  old.why = "no answer to 3 initiations";
  old.advice = "look at the other end";
  old.drops = {{"hs_wrong_psk", 1}};
  s.peers = {hub, old};
  SessionStatus session;
  session.tunnel = "site-a";
  session.peer = "hub";
  session.slot = "current";
  session.role = "initiator";
  session.local_index = 64;
  session.remote_index = 4294967232;
  session.age_s = 63;
  session.expires_s = 117;
  session.tx_counter = 9;
  s.sessions = {session};
  s.drops = {{"tunnel site-a", "rx_replayed", 3, "counter was received before"}};
  return s;
}

}  // namespace cipe::control
