// What one broker hands to the next so that tunnels go on without a new handshake: every
// descriptor, and one document that says what they are (docs/architecture.md, "Restart").
//
// Whoever holds the descriptors owns the resources: nothing is made anew, nothing is pinned. The
// document is a memfd that holds secrets; its reader wipes it. Its version is the first thing in
// it, so that a daemon of another version discards it instead of misreading it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "broker/route_plan.h"
#include "config/model.h"
#include "crypto/secret.h"
#include "ipc/messages.h"

namespace cipe::broker {

// Of the document and of all it refers to (ipc/layout.h); CIPE_ABI_VERSION counts beside it. Grows
// with every change of either.
inline constexpr uint32_t kHandoverVersion = 2;

struct CarrierHandover {
  std::string name;
  uint32_t ifindex = 0;
  UniqueFd link;  // bpf_link: the next program takes this one's place in it
};

struct TunnelHandover {
  ipc::TunnelId id = 0;
  config::Tunnel config;  // as it was brought up, whatever its file says by now
  std::vector<ipc::PeerSetup> peers;
  uint32_t ifindex = 0;
  uint16_t listen_port = 0;
  uint32_t mtu = 0, link_mtu = 0, smallest_mtu = 0;
  bool tso = false, uso = false;
  bool ip_up_ran = false;         // protocol 3
  IpAddress ptpaddr;              // protocol 3: learned
  std::vector<IpAddress> around;  // endpoints that its routes lead around
  OwnTable own_table;
  std::vector<UniqueFd> tun;
  UniqueFd udp4, udp6, log;
};

struct NamedPeer {
  std::string name;  // "tunnel/identity"
  ipc::PeerId id = 0;
};

struct Handover {
  std::string version;  // of the daemon that wrote it, for the log
  std::string config_dir, state_dir;
  uint32_t starter_uid = 0;
  bool until_last_down = false;
  Secret<32> seal_key;  // of cipe_session_keys
  ipc::TunnelId next_tunnel = 1;
  ipc::PeerId next_peer = 1;
  std::vector<NamedPeer> peer_ids;
  std::vector<UniqueFd> maps;
  UniqueFd listener;                  // control socket
  bool socket_unit = false;           // whose name belongs to a socket unit
  UniqueFd runtime_lock, state_lock;  // flock(2) goes with the descriptor
  std::vector<CarrierHandover> carriers;
  std::vector<TunnelHandover> tunnels;
};

struct PackedHandover {
  UniqueFd document;
  std::vector<int> fds;  // borrowed from the handover, in the order of the document
};
// ResourceExhausted when no memfd could be made. `handover` must outlive the result.
absl::StatusOr<PackedHandover> Pack(Handover& handover);
// `fds`: document first. FailedPrecondition: written by another version, and nobody's now;
// InvalidArgument: makes no sense. The document is wiped either way, the descriptors are closed
// unless the result has them.
absl::StatusOr<Handover> Unpack(std::vector<UniqueFd> fds);

}  // namespace cipe::broker
