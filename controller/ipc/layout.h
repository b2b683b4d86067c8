// What each message looks like in octets: one description per type, used by Writer and Reader
// alike (archive.h). Included by codec.cc only.
#pragma once

#include "absl/status/status.h"
#include "config/model.h"
#include "ipc/archive.h"
#include "ipc/codec.h"
#include "ipc/messages.h"

namespace cipe::ipc::layout {

// Caps on lists, so that a confused sender is told from a big configuration.
inline constexpr size_t kMaxQueues = 64;  // CIPE_MAX_QUEUES
inline constexpr size_t kMaxPeers = 65536;
inline constexpr size_t kMaxPrefixes = 1 << 20;
inline constexpr size_t kMaxNames = 256;

template <typename Ar>
void Fields(Ar& ar, IpAddress& m) {
  uint8_t family = static_cast<uint8_t>(m.family);
  ar.Number(family);
  if (family != 0 && family != 4 && family != 6) return ar.Fail();
  m.family = static_cast<Family>(family);
  ar.Octets(m.octets);
}

template <typename Ar>
void Fields(Ar& ar, IpPrefix& m) {
  Fields(ar, m.address);
  ar.Number(m.length);
  if (m.length < 0 || m.length > m.address.bits()) ar.Fail();
}

template <typename Ar>
void Fields(Ar& ar, Endpoint& m) {
  Fields(ar, m.address);
  ar.Number(m.port);
  ar.Number(m.scope_id);
}

template <typename Ar>
void Fields(Ar& ar, Floor& m) {
  ar.Octets(m.sent);
  ar.Octets(m.sent_reserved);
  ar.Octets(m.received);
}

// ---- secrets: only ever part of a body, which lives in a memfd ----

template <size_t N>
void Fields(Writer& ar, Secret<N>& m) {
  ar.Raw(m.UnsafeBytes().data(), N);
}

template <size_t N>
void Fields(Reader& ar, Secret<N>& m) {
  const uint8_t* p = ar.Take(N);
  if (p != nullptr) m = Secret<N>::FromSpan({p, N});
}

inline void Fields(Writer& ar, SecretBytes& m) {
  uint8_t size = static_cast<uint8_t>(m.size());
  ar.Number(size);
  ar.Raw(m.UnsafeBytes().data(), m.size());
}

inline void Fields(Reader& ar, SecretBytes& m) {
  uint8_t size = 0;
  ar.Number(size);
  const uint8_t* p = ar.Take(size);
  if (p != nullptr) m = SecretBytes::FromSpan({p, size});
}

template <typename Ar>
void Fields(Ar& ar, config::EndpointSpec& m) {
  ar.String(m.host);
  ar.Number(m.port);
}

template <typename Ar>
void Fields(Ar& ar, config::ClassicOptions& m);

template <typename Ar, typename T>
void Optional(Ar& ar, std::optional<T>& m) {
  bool there = m.has_value();
  ar.Bool(there);
  if (!there) return;
  if constexpr (Ar::kReading) m.emplace();
  Fields(ar, *m);
}

template <typename Ar>
void Fields(Ar& ar, config::Peer& m) {
  ar.String(m.name);
  ar.Enum(m.auth, 0, 1);
  ar.Octets(m.public_key);
  Optional(ar, m.shared_key);
  Optional(ar, m.preshared_key);
  ar.List(m.endpoints, kMaxNames, [&](config::EndpointSpec& e) { Fields(ar, e); });
  ar.List(m.allowed_ips, kMaxPrefixes, [&](IpPrefix& p) { Fields(ar, p); });
  for (int* number : {&m.persistent_keepalive_s, &m.ping_s, &m.ping_timeout_s}) {
    ar.Number(*number);
  }
}

// Without the SOCKS password: only the broker talks to that server.
template <typename Ar>
void Fields(Ar& ar, config::ClassicOptions& m) {
  ar.Enum(m.cipher, 0, 1);
  ar.Enum(m.idea_order, 0, 1);
  Optional(ar, m.key);
  ar.Bool(m.nokey);
  Fields(ar, m.me);
  Fields(ar, m.peer);
  Fields(ar, m.ipaddr);
  Fields(ar, m.ptpaddr);
  for (int* number :
       {&m.mtu, &m.cttl, &m.metric, &m.tokxc, &m.tokey, &m.tokxts, &m.ping, &m.toping, &m.maxerr}) {
    ar.Number(*number);
  }
  for (std::string* text : {&m.ipup, &m.ipdown, &m.arg}) ar.String(*text);
  Optional(ar, m.socks);
  for (std::string* text : {&m.socks_user, &m.device}) ar.String(*text);
  for (bool* flag : {&m.debug, &m.dynip, &m.udpsum, &m.static_data, &m.roam_any, &m.kill}) {
    ar.Bool(*flag);
  }
  ar.Enum(m.datapath, 0, 3);
  ar.String(m.carrier);
}

template <typename Ar>
void Fields(Ar& ar, config::Tunnel& m) {
  ar.String(m.name);
  ar.String(m.path);
  ar.List(m.addresses, kMaxPrefixes, [&](IpPrefix& p) { Fields(ar, p); });
  ar.Number(m.listen_port);
  ar.Number(m.protocol);
  ar.Enum(m.datapath, 0, 3);
  ar.Enum(m.suite, 1, 2);
  ar.List(m.carriers, kMaxNames, [&](std::string& s) { ar.String(s); });
  ar.Number(m.lanes);
  ar.Number(m.mtu);
  ar.Bool(m.mss_clamp);
  ar.Enum(m.dscp, 0, 2);
  ar.Number(m.dscp_value);
  ar.Enum(m.table, 0, 2);
  ar.Number(m.table_number);
  ar.Number(m.metric);
  ar.Number(m.fwmark);
  ar.Bool(m.reject_when_down);
  ar.Number(m.rekey_s);
  for (auto* hooks : {&m.hooks.pre_up, &m.hooks.post_up, &m.hooks.pre_down, &m.hooks.post_down}) {
    ar.List(*hooks, kMaxNames, [&](std::string& s) { ar.String(s); });
  }
  Optional(ar, m.private_key);
  ar.List(m.peers, kMaxPeers, [&](config::Peer& p) { Fields(ar, p); });
  Optional(ar, m.classic);
}

template <typename Ar>
void Fields(Ar& ar, PeerSetup& m) {
  ar.Number(m.peer);
  Fields(ar, m.endpoint);
  Fields(ar, m.floor);
}

// The part of a message that grows with the configuration, secrets included.
template <typename Ar>
void Body(Ar& ar, TunnelAdd& m) {
  Fields(ar, m.config);
  ar.List(m.peers, kMaxPeers, [&](PeerSetup& p) { Fields(ar, p); });
  if (m.peers.size() != m.config.peers.size()) ar.Fail();
}

template <typename Ar>
void Body(Ar& ar, TunnelChange& m) {
  Fields(ar, m.config);
  ar.List(m.peers, kMaxPeers, [&](PeerSetup& p) { Fields(ar, p); });
  ar.List(m.all, kMaxPeers, [&](PeerId& id) { ar.Number(id); });
  if (m.peers.size() != m.config.peers.size()) ar.Fail();
}

// ---- messages ----

template <typename Ar>
void Fields(Ar& ar, Hello& m) {
  ar.Bool(m.takeover);
  ar.Number(m.starter_uid);
  ar.Octets(m.node_id);
  ar.String(m.version);
  ar.String(m.config_dir);
  ar.String(m.state_dir);
  ar.List(m.maps, kMaxQueues, [&](UniqueFd& fd) { ar.Fd(fd); });
  ar.Fd(m.control_listener);
  ar.Fd(m.seal_key);
  ar.Fd(m.route_probe4);
  ar.Fd(m.route_probe6);
}

template <typename Ar>
void Fields(Ar& ar, CarrierQueue& m) {
  ar.Number(m.queue);
  ar.Bool(m.zero_copy);
  ar.Number(m.chunk_size);
  ar.Number(m.chunks);
  ar.Fd(m.xsk);
  ar.Fd(m.umem);
}

template <typename Ar>
void Fields(Ar& ar, CarrierAdd& m) {
  ar.Number(m.carrier);
  ar.String(m.name);
  ar.Number(m.ifindex);
  ar.Octets(m.mac);
  ar.Number(m.mtu);
  ar.List(m.queues, kMaxQueues, [&](CarrierQueue& q) { Fields(ar, q); });
}

template <typename Ar>
void Fields(Ar& ar, CarrierRemove& m) {
  ar.Number(m.carrier);
}

template <typename Ar>
void Fields(Ar& ar, CarrierRenamed& m) {
  ar.Number(m.carrier);
  ar.String(m.name);
}

template <typename Ar>
void Fields(Ar& ar, Datapath& m) {
  ar.Number(m.rung);
  if (m.rung < 1 || m.rung > 3) ar.Fail();
  ar.Bool(m.afxdp_tx);
  ar.Bool(m.degraded);
  ar.String(m.reason);
  ar.String(m.trouble);
  ar.List(m.carriers, kMaxNames, [&](CarrierId& id) { ar.Number(id); });
}

template <typename Ar>
void Fields(Ar& ar, TunnelAdd& m) {
  ar.Number(m.tunnel);
  ar.Bool(m.takeover);
  ar.Number(m.ifindex);
  ar.Number(m.mtu);
  ar.Number(m.listen_port);
  ar.Bool(m.tso);
  ar.Bool(m.uso);
  Fields(ar, m.datapath);
  ar.List(m.tun, kMaxQueues, [&](UniqueFd& fd) { ar.Fd(fd); });
  ar.Fd(m.udp4);
  ar.Fd(m.udp6);
  ar.Fd(m.log);
}

template <typename Ar>
void Fields(Ar& ar, TunnelRemove& m) {
  ar.Number(m.tunnel);
}

template <typename Ar>
void Fields(Ar& ar, EndpointResolved& m) {
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.endpoint);
  ar.String(m.trouble);
}

template <typename Ar>
void Fields(Ar& ar, NextHop& m) {
  Fields(ar, m.endpoint);
  ar.Number(m.carrier);
  ar.Bool(m.usable);
  ar.Number(m.mtu);
  Fields(ar, m.local);
  ar.Octets(m.source_mac);
  ar.Octets(m.destination_mac);
}

template <typename Ar>
void Fields(Ar& ar, absl::Status& m) {
  uint8_t code = static_cast<uint8_t>(m.raw_code());
  std::string text(m.message());
  ar.Number(code);
  ar.String(text);
  if (code > static_cast<uint8_t>(absl::StatusCode::kUnauthenticated)) return ar.Fail();
  if constexpr (Ar::kReading) m = absl::Status(static_cast<absl::StatusCode>(code), text);
}

template <typename Ar>
void Fields(Ar& ar, Reply& m) {
  ar.Number(m.request);
  Fields(ar, m.status);
  ar.Number(m.tunnel);
  ar.Bool(m.ending);
}

template <typename Ar>
void Fields(Ar&, Ready&) {}

template <typename Ar>
void Fields(Ar&, Leave&) {}

template <typename Ar>
void Fields(Ar& ar, UpRequest& m) {
  ar.Number(m.request);
  ar.String(m.name);
}

template <typename Ar>
void Fields(Ar& ar, DownRequest& m) {
  ar.Number(m.request);
  ar.String(m.name);
}

template <typename Ar>
void Fields(Ar& ar, TunnelRemoved& m) {
  ar.Number(m.tunnel);
}

template <typename Ar>
void Fields(Ar& ar, FloorUpdate& m) {
  ar.Number(m.request);
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.floor);
}

template <typename Ar>
void Fields(Ar& ar, NextHopWanted& m) {
  ar.Number(m.tunnel);
  Fields(ar, m.endpoint);
}

template <typename Ar>
void Fields(Ar& ar, EndpointFailed& m) {
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.endpoint);
}

template <typename Ar>
void Fields(Ar& ar, SmallestMtu& m) {
  ar.Number(m.tunnel);
  ar.Number(m.mtu);
}

template <typename Ar>
void Fields(Ar& ar, DatapathChanged& m) {
  ar.Number(m.tunnel);
  ar.Number(m.mtu);
  Fields(ar, m.datapath);
}

template <typename Ar>
void Fields(Ar& ar, Ping& m) {
  ar.Number(m.number);
}

template <typename Ar>
void Fields(Ar& ar, Pong& m) {
  ar.Number(m.number);
}

template <typename Ar>
void Fields(Ar& ar, ClassicRelay& m) {
  ar.Number(m.tunnel);
  Fields(ar, m.relay);
  ar.String(m.state);
}

template <typename Ar>
void Fields(Ar& ar, ClassicPeer& m) {
  ar.Number(m.tunnel);
  Fields(ar, m.peer);
  Fields(ar, m.ptpaddr);
}

template <typename Ar>
void Fields(Ar& ar, SourceGone& m) {
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.remote);
  Fields(ar, m.local);
}

template <typename Ar>
void Fields(Ar& ar, PathUsed& m) {
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.remote);
  Fields(ar, m.local);
}

template <typename Ar>
void Fields(Ar& ar, ClassicOver& m) {
  ar.Number(m.tunnel);
  ar.String(m.reason);
}

template <typename Ar>
void Fields(Ar& ar, PathMtuKnown& m) {
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.endpoint);
  ar.Number(m.link);
  ar.Number(m.route);
  ar.Number(m.learned);
}

template <typename Ar>
void Fields(Ar&, PathsChanged&) {}

template <typename Ar>
void Fields(Ar& ar, PathMtuWanted& m) {
  ar.Number(m.tunnel);
  ar.Number(m.peer);
  Fields(ar, m.endpoint);
}

template <typename Ar>
void Fields(Ar& ar, TunnelChange& m) {
  ar.Number(m.tunnel);
  ar.Number(m.number);
  ar.Number(m.mtu);
  ar.Number(m.listen_port);
  ar.Bool(m.tso);
  ar.Bool(m.uso);
  ar.List(m.tun, kMaxQueues, [&](UniqueFd& fd) { ar.Fd(fd); });
  ar.Fd(m.udp4);
  ar.Fd(m.udp6);
}

template <typename Ar>
void Fields(Ar& ar, ReloadAnswer& m) {
  ar.Number(m.request);
  Fields(ar, m.status);
  ar.Fd(m.plan);
}

template <typename Ar>
void Fields(Ar& ar, ReloadRequest& m) {
  ar.Number(m.request);
  ar.String(m.name);
  ar.Bool(m.dry_run);
}

template <typename Ar>
void Fields(Ar& ar, TunnelChanged& m) {
  ar.Number(m.tunnel);
  ar.Number(m.number);
  Fields(ar, m.status);
}

}  // namespace cipe::ipc::layout
