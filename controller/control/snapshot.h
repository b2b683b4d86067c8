// The status of a daemon at one moment, as plain values: filled by the engine, carried as JSON
// (snapshot_json.h), rendered by cipectl. include/cipe/control/schema.h explains the fields. There
// is no place in here for a secret, and none may be added.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cipe::control {

enum class TunnelState { kUp, kDegraded, kDown };
const char* TunnelStateName(TunnelState state);

// Which road data takes; see RungNumber for the step of the ladder.
enum class Rung {
  kUnknown,        // null in JSON
  kAfxdpZeroCopy,  // 1: AF_XDP both ways, zero copy
  kAfxdpCopy,      // 2: AF_XDP both ways, copy mode
  kAfxdpRx,        // 2: AF_XDP receive in copy mode, UDP GSO sends
  kSocket,         // 3: UDP socket with GRO and GSO
};
int RungNumber(Rung rung);            // 1..3, 0 for kUnknown
const char* RungName(Rung rung);      // stable; "unknown" for kUnknown
const char* RungSentence(Rung rung);  // for people

enum class PeerStatus {
  kConnected,    // a session that can send
  kHandshaking,  // an initiation is on its way
  kNoAnswer,     // initiations went unanswered; `why` has the likeliest reason
  kIdle,         // no session and nothing to send
  kNoEndpoint,   // cannot start: waits for the peer
  kDead,         // its Ping goes unanswered, and nothing else is heard either
};
const char* PeerStatusName(PeerStatus status);

struct DropCount {
  std::string reason;  // name of include/cipe/abi/drop_reasons.def
  uint64_t count = 0;
};

struct Traffic {
  uint64_t rx_bytes = 0;  // inner octets, without overhead
  uint64_t tx_bytes = 0;
  uint64_t rx_packets = 0;
  uint64_t tx_packets = 0;
};

struct DaemonStatus {
  std::string version;
  int64_t ciped_pid = 0;   // the broker: whom to signal
  int64_t engine_pid = 0;  // its child, which it replaces when that ends
  uint32_t abi = 0;        // CIPE_ABI_VERSION
  std::string aead;        // packet AEAD backend in use
};

struct CarrierStatus {
  std::string name;
  uint32_t queues = 0;                // RX queues with a socket of ours
  std::string mode;                   // "afxdp-zerocopy", "afxdp-copy", "socket"
  std::optional<std::string> reason;  // why not a higher rung
};

struct TunnelStatus {
  std::string name;
  uint32_t id = 0;
  TunnelState state = TunnelState::kDown;
  std::optional<std::string> reason;  // why not kUp
  int protocol = 5;
  std::string suite;                    // of protocol 3: "blowfish", "idea", "idea-be", "none"
  std::optional<std::string> insecure;  // what is wrong with it and what to do instead
  std::optional<uint16_t> listen_port;
  std::vector<std::string> addresses;  // prefixes
  std::optional<uint32_t> mtu;
  Rung rung = Rung::kUnknown;
  std::optional<std::string> rung_reason;  // why it stopped there
  std::optional<std::string> rung_cause;   // the same as a stable name
  std::vector<CarrierStatus> carriers;
  std::optional<std::string> public_key;  // base64
  uint32_t peers = 0;
  Traffic traffic;
  std::vector<DropCount> drops;  // only those not zero
};

struct PeerSnapshot {
  std::string tunnel;
  std::string name;
  std::string public_key;  // base64, or "shared"
  std::optional<std::string> endpoint;
  std::vector<std::string> allowed_ips;
  std::optional<int64_t> latest_handshake;  // unix seconds
  Traffic traffic;
  Rung rung = Rung::kUnknown;
  std::optional<std::string> rung_reason;  // why it stopped there
  std::optional<uint32_t> path_mtu;
  std::optional<std::string> path_mtu_source;  // how it is known; nullopt without a session
  std::optional<int> persistent_keepalive;     // seconds; nullopt = off
  std::optional<double> rtt_ms;                // of the last Ping that was answered
  PeerStatus status = PeerStatus::kIdle;
  std::optional<std::string> why;     // likeliest reason for having no session
  std::optional<std::string> advice;  // what to do about just that
  std::vector<DropCount> drops;
};

struct SessionStatus {
  std::string tunnel;
  std::string peer;
  std::string slot;  // "previous", "current", "next"
  std::string role;  // "initiator", "responder"; of protocol 3 "sender", "receiver"
  uint32_t local_index = 0;
  uint32_t remote_index = 0;
  int64_t age_s = 0;
  int64_t expires_s = 0;  // from now
  uint32_t lanes = 1;
  uint64_t tx_counter = 0;              // next counter of lane 0
  std::optional<uint64_t> rx_greatest;  // nullopt: nothing received yet
};

struct DropStatus {
  std::string scope;  // "xdp IFACE", "tunnel NAME", "peer TUNNEL/NAME" or "daemon"
  std::string reason;
  uint64_t count = 0;
  std::string sentence;
};

struct Snapshot {
  int64_t time = 0;  // unix seconds at which it was taken
  DaemonStatus daemon;
  std::vector<TunnelStatus> tunnels;
  std::vector<PeerSnapshot> peers;
  std::vector<SessionStatus> sessions;
  std::vector<DropStatus> drops;
};

// Name and sentence of a number of drop_reasons.def; "unknown_N" and "" for one not in the list.
std::string DropReasonName(unsigned number);
std::string DropReasonSentence(unsigned number);

}  // namespace cipe::control
