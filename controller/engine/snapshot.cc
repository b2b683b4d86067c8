// The engine's state as people and programs see it.
#include <algorithm>
#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/engine.h"

namespace cipe::engine {
namespace {

using session::Session;

std::vector<control::DropCount> DropsOf(const session::DropCounters& drops) {
  std::vector<control::DropCount> counts;
  if (!drops.any()) return counts;
  for (const uint16_t reason : session::internal::kReasons) {
    if (const uint64_t n = drops.Get(reason); n > 0) {
      counts.push_back({control::DropReasonName(reason), n});
    }
  }
  return counts;
}

control::Traffic TrafficOf(const session::Traffic& t) {
  const auto get = [](const std::atomic<uint64_t>& v) { return v.load(std::memory_order_relaxed); };
  return {get(t.rx_bytes), get(t.tx_bytes), get(t.rx_packets), get(t.tx_packets)};
}

std::string Base64(absl::Span<const uint8_t> octets) {
  return absl::Base64Escape(
      absl::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

control::PeerStatus StatusOf(const Peer& peer) {
  if (ClassicPeers::Is(*peer.tunnel)) return ClassicPeers::StatusOf(peer);
  if (peer.liveness.dead()) return control::PeerStatus::kDead;
  if (peer.current != nullptr) return control::PeerStatus::kConnected;
  if (peer.attempt.has_value()) {
    return peer.attempt->initiations > 1 ? control::PeerStatus::kNoAnswer
                                         : control::PeerStatus::kHandshaking;
  }
  if (!peer.path.path.Get().remote.is_set()) return control::PeerStatus::kNoEndpoint;
  return control::PeerStatus::kIdle;
}

control::PeerSnapshot SnapshotOf(const Peer& peer, const Engine::Diagnosis& diagnosis) {
  control::PeerSnapshot p;
  p.tunnel = peer.tunnel->config.name;
  p.name = peer.config.name;
  p.public_key = peer.shared.has_value() || ClassicPeers::Is(*peer.tunnel)
                     ? "shared"
                     : Base64(peer.config.public_key);
  const auto& classic = peer.tunnel->config.classic;
  if (classic.has_value() && classic->nokey) p.public_key = "none";
  if (const session::Path path = peer.path.path.Get(); path.remote.is_set()) {
    p.endpoint = path.remote.ToString();
  }
  for (const IpPrefix& prefix : peer.config.allowed_ips) p.allowed_ips.push_back(prefix.ToString());
  if (peer.latest_handshake.has_value()) {
    p.latest_handshake = peer.latest_handshake->unix_ns / 1'000'000'000;
  }
  p.traffic = TrafficOf(peer.path.traffic);
  p.rung = RungOf(*peer.tunnel);
  if (!peer.tunnel->datapath.reason.empty()) p.rung_reason = peer.tunnel->datapath.reason;
  if (const uint32_t mtu = peer.path.mtu.load(); mtu != session::PeerPath::kAnyMtu) {
    p.path_mtu = std::min({mtu, peer.path.limit.load(), peer.tunnel->mtu});
  }
  if (peer.probing != nullptr) {
    p.path_mtu_source = session::PathMtuSourceName(peer.probing->prober.source());
  }
  if (peer.config.persistent_keepalive_s > 0) {
    p.persistent_keepalive = peer.config.persistent_keepalive_s;
  }
  if (const auto trip = peer.liveness.round_trip(); trip.has_value()) {
    // To a microsecond: there is no more to it.
    p.rtt_ms = std::round(std::chrono::duration<double, std::micro>(*trip).count()) / 1000;
  }
  p.status = StatusOf(peer);
  if (!diagnosis.why.empty()) p.why = diagnosis.why;
  if (!diagnosis.advice.empty()) p.advice = diagnosis.advice;
  p.drops = DropsOf(peer.path.drops);
  return p;
}

control::SessionStatus SnapshotOf(const Peer& peer, Session& session, const char* slot,
                                  Instant now) {
  using std::chrono::duration_cast;
  using std::chrono::seconds;
  control::SessionStatus s;
  s.tunnel = peer.tunnel->config.name;
  s.peer = peer.config.name;
  s.slot = slot;
  s.role = session.setup().initiator ? "initiator" : "responder";
  s.local_index = session.setup().local_index;
  s.remote_index = session.setup().remote_index;
  s.age_s = duration_cast<seconds>(now - session.setup().created).count();
  s.expires_s = duration_cast<seconds>(session.expires() - now).count();
  s.lanes = static_cast<uint32_t>(session.receive_lanes());
  s.tx_counter = session.send_lane(0).next();
  if (const uint64_t greatest = session.receive_lane(0).greatest(); greatest > 0) {
    s.rx_greatest = greatest - 1;
  }
  return s;
}

control::TunnelStatus SnapshotOf(const Tunnel& tunnel) {
  control::TunnelStatus t;
  t.name = tunnel.config.name;
  t.id = tunnel.id();
  const std::string degraded = WhyDegraded(tunnel);
  t.state = degraded.empty() ? control::TunnelState::kUp : control::TunnelState::kDegraded;
  if (!degraded.empty()) t.reason = degraded;
  t.protocol = tunnel.config.protocol;
  t.suite = std::string(SuiteName(tunnel.config.suite));
  t.listen_port = tunnel.listen_port;
  for (const IpPrefix& address : tunnel.config.addresses) t.addresses.push_back(address.ToString());
  t.mtu = tunnel.link_mtu();
  t.rung = RungOf(tunnel);
  if (!tunnel.datapath.reason.empty()) t.rung_reason = tunnel.datapath.reason;
  if (!tunnel.datapath.cause.empty()) t.rung_cause = tunnel.datapath.cause;
  if (tunnel.identity != nullptr) t.public_key = Base64(tunnel.identity->public_key());
  t.peers = static_cast<uint32_t>(tunnel.peers.size());
  for (const auto& peer : tunnel.peers) {
    const control::Traffic traffic = TrafficOf(peer->path.traffic);
    t.traffic.rx_bytes += traffic.rx_bytes;
    t.traffic.tx_bytes += traffic.tx_bytes;
    t.traffic.rx_packets += traffic.rx_packets;
    t.traffic.tx_packets += traffic.tx_packets;
  }
  t.drops = DropsOf(tunnel.path.drops);
  if (ClassicPeers::Is(tunnel)) ClassicPeers::Describe(tunnel, &t);
  return t;
}

void AddDrops(control::Snapshot& out, const std::string& scope,
              const session::DropCounters& drops) {
  if (!drops.any()) return;
  for (const uint16_t reason : session::internal::kReasons) {
    if (const uint64_t n = drops.Get(reason); n > 0) {
      out.drops.push_back(
          {scope, control::DropReasonName(reason), n, control::DropReasonSentence(reason)});
    }
  }
}

}  // namespace

control::Rung RungOf(const Tunnel& tunnel) {
  if (tunnel.datapath.rung == 3) return control::Rung::kSocket;
  if (tunnel.datapath.rung == 1) return control::Rung::kAfxdpZeroCopy;
  return tunnel.datapath.afxdp_tx ? control::Rung::kAfxdpCopy : control::Rung::kAfxdpRx;
}

control::Json RungDetails(const Tunnel& tunnel) {
  return {{"rung", control::RungNumber(RungOf(tunnel))},
          {"rung_name", control::RungName(RungOf(tunnel))}};
}

control::Snapshot Engine::TakeSnapshot() const {
  control::Snapshot out;
  const Instant now = clock_.Now();
  out.time = clock_.Wall().unix_ns / 1'000'000'000;
  out.daemon.abi = CIPE_ABI_VERSION;
  out.daemon.aead = std::string(BackendName(options_.backend));
  std::vector<const Tunnel*> tunnels;
  for (const auto& [id, tunnel] : tunnels_) tunnels.push_back(tunnel.get());
  std::sort(tunnels.begin(), tunnels.end(),
            [](const Tunnel* a, const Tunnel* b) { return a->config.name < b->config.name; });
  for (const Tunnel* tunnel : tunnels) {
    out.tunnels.push_back(SnapshotOf(*tunnel));
    AddDrops(out, absl::StrCat("tunnel ", tunnel->config.name), tunnel->path.drops);
    for (const auto& peer : tunnel->peers) {
      out.peers.push_back(SnapshotOf(*peer, Diagnose(*peer)));
      AddDrops(out, absl::StrCat("peer ", tunnel->config.name, "/", peer->config.name),
               peer->path.drops);
      if (ClassicPeers::Is(*tunnel)) {
        for (auto& key : ClassicPeers::Keys(*peer, now)) out.sessions.push_back(std::move(key));
      }
      if (peer->current) out.sessions.push_back(SnapshotOf(*peer, *peer->current, "current", now));
      if (peer->next) out.sessions.push_back(SnapshotOf(*peer, *peer->next, "next", now));
      if (peer->previous) {
        out.sessions.push_back(SnapshotOf(*peer, *peer->previous, "previous", now));
      }
    }
  }
  return out;
}

}  // namespace cipe::engine
