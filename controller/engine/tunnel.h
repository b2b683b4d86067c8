// A tunnel as the control thread sees it.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "config/model.h"
#include "control/event.h"
#include "control/snapshot.h"
#include "dataplane/tunnel_path.h"
#include "engine/classic_state.h"
#include "engine/peer.h"
#include "handshake/responder.h"

namespace cipe::engine {

struct Tunnel {
  config::Tunnel config;
  uint32_t mtu = 0;        // what this end takes, octets; announced to peers
  uint32_t least_mtu = 0;  // the netdev's is never lowered below
  uint32_t smallest_mtu = session::PeerPath::kAnyMtu;  // announced by a peer
  uint16_t listen_port = 0;
  ipc::Datapath datapath;
  control::Rung reported_rung = control::Rung::kUnknown;  // in the last event
  bool unreported = false;                                // no event has said that it is up

  std::unique_ptr<handshake::Identity> identity;  // null: shared keys only
  std::unique_ptr<handshake::ListenerKeys> keys;
  dataplane::TunnelPath path;
  std::unique_ptr<dataplane::PeerMap> peer_map;
  std::vector<std::unique_ptr<Peer>> peers;
  absl::flat_hash_map<handshake::PublicKeyOctets, Peer*> by_key;
  absl::flat_hash_map<handshake::KeyId, Peer*> by_key_id;
  std::unique_ptr<ClassicState> classic;  // protocol 3; null for protocol 5

  uint32_t id() const { return path.tunnel; }
  // Of the netdev, as the broker sets it.
  uint32_t link_mtu() const {
    if (config.mtu > 0) return mtu;
    return std::min(mtu, std::max(smallest_mtu, least_mtu));
  }
};

// What of the configuration workers look at for each packet. Whoever changes that calls it again.
void SetPathOptions(Tunnel& tunnel);

// Why the tunnel is not as configured though it is up; empty when it is.
std::string WhyDegraded(const Tunnel& tunnel);

// For status and events.
control::Rung RungOf(const Tunnel& tunnel);
control::Json RungDetails(const Tunnel& tunnel);  // rung, rung_name

}  // namespace cipe::engine
