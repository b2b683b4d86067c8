// What each message looks like in octets: one description per type, used by Writer and Reader
// alike (archive.h). Included by codec.cc only.
#pragma once

#include "absl/status/status.h"
#include "ipc/archive.h"
#include "ipc/codec.h"
#include "ipc/layout_config.h"
#include "ipc/messages.h"

namespace cipe::ipc::layout {

template <typename Ar>
void Fields(Ar& ar, Floor& m) {
  ar.Octets(m.sent);
  ar.Octets(m.sent_reserved);
  ar.Octets(m.received);
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
void Fields(Ar& ar, absl::Status& m) {
  uint8_t code = static_cast<uint8_t>(m.raw_code());
  std::string text(m.message());
  ar.Number(code);
  ar.String(text);
  if (code > static_cast<uint8_t>(absl::StatusCode::kUnauthenticated)) return ar.Fail();
  if constexpr (Ar::kReading) m = absl::Status(static_cast<absl::StatusCode>(code), text);
}

template <typename Ar>
void Fields(Ar& ar, CarrierMapped& m) {
  ar.Number(m.carrier);
  Fields(ar, m.status);
}

template <typename Ar>
void Fields(Ar& ar, CarrierReady& m) {
  ar.Number(m.carrier);
  ar.Bool(m.zero_copy);
  Fields(ar, m.status);
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
  ar.Bool(m.pending);
  ar.String(m.cause);
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
