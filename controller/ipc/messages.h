// What broker and engine say to each other over a SOCK_SEQPACKET pair: one message, one datagram,
// with the descriptors it lends. The two are always the same build, so there is no version here;
// what survives an engine is in the BPF maps (cipe/abi/maps.h).
//
// The engine is not trusted by the broker: every request is checked against the configuration that
// the broker parsed itself. Secrets travel only in memfds, never in the message text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "config/model.h"

namespace cipe::ipc {

using TunnelId = uint32_t;
using PeerId = uint32_t;
using CarrierId = uint32_t;

// ---- broker -> engine ----

// First message. Descriptors: the BPF maps in the order of steering::MapSet's export, the listening
// control socket, and a memfd with the 32-octet key that seals cipe_session_keys.
struct Hello {
  bool takeover = false;              // an engine before this one died: adopt what the maps hold
  std::array<uint8_t, 16> node_id{};  // of this host, kept in the state directory
  uint32_t starter_uid = 0;           // may change things over the control socket, beside root
  std::string version;
  std::string config_dir;  // absolute; requests that expect others are refused
  std::string state_dir;
  std::vector<UniqueFd> maps;
  UniqueFd control_listener;
  UniqueFd seal_key;
  UniqueFd route_probe4, route_probe6;  // ports::RouteProbe; none where there is no such family
};

struct CarrierQueue {
  uint32_t queue = 0;
  uint32_t chunk_size = 0;  // octets
  uint32_t chunks = 0;
  UniqueFd xsk;   // not bound yet
  UniqueFd umem;  // memfd registered as the UMEM
};

// Map these and say so (CarrierMapped): some kernels allow it only before the sockets are bound,
// which the broker does then.
struct CarrierAdd {
  CarrierId carrier = 0;
  std::string name;
  uint32_t ifindex = 0;
  std::array<uint8_t, 6> mac{};
  uint32_t mtu = 0;
  std::vector<CarrierQueue> queues;  // empty: no AF_XDP here
};

// Answer to CarrierMapped: the sockets are bound, frames come. Not OK: they are not and never will
// be; nothing of them is needed any more, nor does the engine still have to have mapped them.
struct CarrierReady {
  CarrierId carrier = 0;
  bool zero_copy = false;  // every queue
  absl::Status status;
};

struct CarrierRemove {
  CarrierId carrier = 0;
};

// Timestamps of handshakes that outlive processes, 12-octet TAI64N as on the wire, zero = none.
struct Floor {
  std::array<uint8_t, 12> sent{};           // greatest sent with this identity
  std::array<uint8_t, 12> sent_reserved{};  // on disk: every one up to this may be used
  std::array<uint8_t, 12> received{};       // greatest accepted
};

struct PeerSetup {
  PeerId peer = 0;    // unique in this daemon, the same again after an engine's crash
  Endpoint endpoint;  // resolved; unset = none known (yet)
  Floor floor;
};

// Which road a tunnel's data takes now, and why not a better one.
struct Datapath {
  int rung = 3;           // 1, 2 or 3 (design: the ladder)
  bool afxdp_tx = false;  // send through AF_XDP
  bool degraded = false;  // the configuration asks for more than could be had
  bool pending = false;   // carriers are being set up: another rung may follow at once
  std::string cause;      // why not a higher rung: stable name (broker/datapath.h)
  std::string reason;     // the same for people
  std::string trouble;    // why nothing can leave at all, as far as links tell; else empty
  std::vector<CarrierId> carriers;
};

struct TunnelAdd {
  TunnelId tunnel = 0;
  bool takeover = false;
  config::Tunnel config;         // travels in a memfd; the secrets are wiped from it after reading
  std::vector<PeerSetup> peers;  // same order as config.peers
  uint32_t ifindex = 0;
  uint32_t mtu = 0;          // of the tunnel netdev
  uint16_t listen_port = 0;  // the real one
  bool tso = false;
  bool uso = false;
  Datapath datapath;
  std::vector<UniqueFd> tun;  // one per queue, non-blocking
  UniqueFd udp4;              // either may be invalid
  UniqueFd udp6;
  UniqueFd log;  // log lines that name the tunnel go here too; usually invalid
};

struct TunnelRemove {
  TunnelId tunnel = 0;
};

struct EndpointResolved {
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Endpoint endpoint;  // unset: the name has no address that can be used, see `trouble`
  std::string trouble;
};

// Carriers came, went or changed under a tunnel that is up.
struct DatapathChanged {
  TunnelId tunnel = 0;
  uint32_t mtu = 0;  // of the tunnel netdev now
  Datapath datapath;
};

// Are you there? Answered by a Pong of the same number once every worker of the engine has made a
// turn.
struct Ping {
  uint64_t number = 0;
};

// Another daemon takes over: finish what the workers have in hand, say what must be kept, and end,
// leaving the sessions in the maps. Frames are no longer steered to AF_XDP by now.
struct Leave {};

// Answer to NextHopWanted, and again whenever netlink says that it changed.
struct NextHop {
  Endpoint endpoint;
  CarrierId carrier = 0;
  bool usable = false;  // false: not reachable through an AF_XDP carrier now
  uint32_t mtu = 0;     // of the path as the kernel knows it, octets, IP header included
  IpAddress local;
  std::array<uint8_t, 6> source_mac{};
  std::array<uint8_t, 6> destination_mac{};
};

struct Reply {
  uint64_t request = 0;
  absl::Status status;
  TunnelId tunnel = 0;
  bool ending = false;  // that was the last tunnel, and the daemon ends with it
};

// Protocol 3 with `socks`: where the SOCKS5 server takes the datagrams of this tunnel (RFC 1928
// section 7). Unset while there is none: nothing can be sent or received then.
struct ClassicRelay {
  TunnelId tunnel = 0;
  Endpoint relay;
  std::string state;  // for status: "connected to 192.0.2.1:1080", "refused, again in 8 s"
};

// What was said of a path by PathUsed does not hold any more: the address is not this host's, or
// the way to the peer leaves by another interface now. The kernel shall choose the address anew.
struct SourceGone {
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Endpoint remote;
  IpAddress local;
};

// Answer to PathMtuWanted: what the kernel knows of the way to the peer, octets, IP header
// included.
struct PathMtuKnown {
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Endpoint endpoint;
  uint32_t link = 0;     // MTU of the interface; 0: no route
  uint32_t route = 0;    // MTU set on the route, 0 = none
  uint32_t learned = 0;  // from ICMP, which anybody can forge; 0 = nothing
};

// Links, addresses or routes changed: what was known of paths may be wrong.
struct PathsChanged {};

// A tunnel that is up is configured anew. Who is in both configurations keeps his id and whatever
// the engine knows of him; netdev and routes are changed already.
struct TunnelChange {
  TunnelId tunnel = 0;
  uint64_t number = 0;  // answered by a TunnelChanged with it
  // Travels in a memfd as TunnelAdd's does. `peers` are only those that are new or have changed.
  config::Tunnel config;
  std::vector<PeerSetup> peers;  // same order as config.peers
  std::vector<PeerId> all;       // who belongs to the tunnel from now on, in the file's order
  uint32_t mtu = 0;              // of the tunnel netdev
  // With another ListenPort: new sockets, and the netdev's queues once more.
  uint16_t listen_port = 0;
  bool tso = false;
  bool uso = false;
  std::vector<UniqueFd> tun;
  UniqueFd udp4;
  UniqueFd udp6;
};

// What a reload did, or would do.
struct ReloadAnswer {
  uint64_t request = 0;
  absl::Status status;
  UniqueFd plan;  // memfd: lines "TUNNEL<TAB>change<LF>"; invalid with an error or without a line
};

// ---- engine -> broker ----

struct Ready {};  // maps adopted, control socket served

// Answer to CarrierAdd: the rings of all its queues are mapped and filled, or why not.
struct CarrierMapped {
  CarrierId carrier = 0;
  absl::Status status;
};

struct UpRequest {
  uint64_t request = 0;
  std::string name;
};

struct DownRequest {
  uint64_t request = 0;
  std::string name;
};

// Workers no longer touch the tunnel, its sessions are wiped from the maps, descriptors closed.
struct TunnelRemoved {
  TunnelId tunnel = 0;
};

// The broker keeps it at once and writes it to the state directory: on disk before Reply when one
// is wanted, within a second else. Only with a request the reservation is one to be made.
struct FloorUpdate {
  uint64_t request = 0;  // 0: no reply wanted
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Floor floor;
};

// Asking again for a known one is how the engine says that the path's MTU may have changed.
struct NextHopWanted {
  TunnelId tunnel = 0;
  Endpoint endpoint;
};

// No answer came from this configured endpoint of the peer: another one is wanted, and its name's
// addresses are in doubt. Answered by EndpointResolved when there is another.
struct EndpointFailed {
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Endpoint endpoint;
};

// The smallest MTU that a peer of the tunnel announced, octets, whenever that changes.
struct SmallestMtu {
  TunnelId tunnel = 0;
  uint32_t mtu = 0;
};

struct PathMtuWanted {
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Endpoint endpoint;
};

struct Pong {
  uint64_t number = 0;
};

// Protocol 3: the other end was heard under a dynamic key (or, with nokey, at all) for the first
// time, or what is known of it changed. For ip-up, and for the address on the netdev when `ptpaddr`
// had to be learned.
struct ClassicPeer {
  TunnelId tunnel = 0;
  Endpoint peer;      // carrier address; behind SOCKS the one in the SOCKS header
  IpAddress ptpaddr;  // IPv4; unset = not known yet
};

// Protocol 3: the documented end of a tunnel (errors beyond maxerr, CT_KILL where allowed). The
// broker logs `reason` and takes the tunnel down as `down` does.
struct ClassicOver {
  TunnelId tunnel = 0;
  std::string reason;
};

// Frames to the peer leave from `local`, the address at which it was heard last.
struct PathUsed {
  TunnelId tunnel = 0;
  PeerId peer = 0;
  Endpoint remote;
  IpAddress local;
};

struct ReloadRequest {
  uint64_t request = 0;
  std::string name;  // empty: every tunnel that is up
  bool dry_run = false;
};

// The TunnelChange of this number took effect; not OK: it did not, and this engine must go.
struct TunnelChanged {
  TunnelId tunnel = 0;
  uint64_t number = 0;
  absl::Status status;
};

// The interface of a carrier has another name.
struct CarrierRenamed {
  CarrierId carrier = 0;
  std::string name;
};

using Message =
    std::variant<Hello, CarrierAdd, CarrierRemove, TunnelAdd, TunnelRemove, EndpointResolved,
                 NextHop, Reply, Ready, UpRequest, DownRequest, TunnelRemoved, FloorUpdate,
                 NextHopWanted, EndpointFailed, SmallestMtu, DatapathChanged, Ping, Pong,
                 ClassicRelay, ClassicPeer, ClassicOver, Leave, SourceGone, PathUsed, PathMtuKnown,
                 PathsChanged, PathMtuWanted, TunnelChange, ReloadAnswer, ReloadRequest,
                 TunnelChanged, CarrierRenamed, CarrierMapped, CarrierReady>;

}  // namespace cipe::ipc
