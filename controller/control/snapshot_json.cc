#include "control/snapshot_json.h"

#include "cipe/control/schema.h"

namespace cipe::control {
namespace {

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

Json NumberOrNull(Rung rung) {
  return rung == Rung::kUnknown ? Json(nullptr) : Json(RungNumber(rung));
}

Json NameOrNull(Rung rung) { return rung == Rung::kUnknown ? Json(nullptr) : Json(RungName(rung)); }

Json DropsByReason(const std::vector<DropCount>& drops) {
  Json out = Json::object();
  for (const DropCount& drop : drops) out[drop.reason] = drop.count;
  return out;
}

void AddTraffic(const Traffic& traffic, Json* out) {
  (*out)["rx_bytes"] = traffic.rx_bytes;
  (*out)["tx_bytes"] = traffic.tx_bytes;
  (*out)["rx_packets"] = traffic.rx_packets;
  (*out)["tx_packets"] = traffic.tx_packets;
}

Json DaemonJson(const DaemonStatus& daemon) {
  return Json{{"version", daemon.version},
              {"ciped_pid", daemon.ciped_pid},
              {"engine_pid", daemon.engine_pid},
              {"abi", daemon.abi},
              {"aead", daemon.aead}};
}

Json CarrierJson(const CarrierStatus& carrier) {
  return Json{{"name", carrier.name},
              {"queues", carrier.queues},
              {"mode", carrier.mode},
              {"reason", OrNull(carrier.reason)}};
}

Json TunnelJson(const TunnelStatus& tunnel) {
  Json out{{"name", tunnel.name},
           {"id", tunnel.id},
           {"state", TunnelStateName(tunnel.state)},
           {"reason", OrNull(tunnel.reason)},
           {"protocol", tunnel.protocol},
           {"suite", tunnel.suite},
           {"insecure", OrNull(tunnel.insecure)},
           {"listen_port", OrNull(tunnel.listen_port)},
           {"addresses", tunnel.addresses},
           {"mtu", OrNull(tunnel.mtu)},
           {"rung", NumberOrNull(tunnel.rung)},
           {"rung_name", NameOrNull(tunnel.rung)},
           {"rung_reason", OrNull(tunnel.rung_reason)},
           {"rung_cause", OrNull(tunnel.rung_cause)}};
  Json carriers = Json::array();
  for (const CarrierStatus& carrier : tunnel.carriers) carriers.push_back(CarrierJson(carrier));
  out["carriers"] = std::move(carriers);
  out["public_key"] = OrNull(tunnel.public_key);
  out["peers"] = tunnel.peers;
  AddTraffic(tunnel.traffic, &out);
  out["drops"] = DropsByReason(tunnel.drops);
  return out;
}

Json PeerJson(const PeerSnapshot& peer) {
  Json out{{"tunnel", peer.tunnel},           {"name", peer.name},
           {"public_key", peer.public_key},   {"endpoint", OrNull(peer.endpoint)},
           {"allowed_ips", peer.allowed_ips}, {"latest_handshake", OrNull(peer.latest_handshake)}};
  AddTraffic(peer.traffic, &out);
  out["rung"] = NumberOrNull(peer.rung);
  out["rung_name"] = NameOrNull(peer.rung);
  out["rung_reason"] = OrNull(peer.rung_reason);
  out["path_mtu"] = OrNull(peer.path_mtu);
  out["persistent_keepalive"] = OrNull(peer.persistent_keepalive);
  out["status"] = PeerStatusName(peer.status);
  out["why"] = OrNull(peer.why);
  out["drops"] = DropsByReason(peer.drops);
  out["advice"] = OrNull(peer.advice);
  out["rtt_ms"] = OrNull(peer.rtt_ms);
  out["path_mtu_source"] = OrNull(peer.path_mtu_source);
  return out;
}

Json SessionJson(const SessionStatus& session) {
  return Json{{"tunnel", session.tunnel},
              {"peer", session.peer},
              {"slot", session.slot},
              {"role", session.role},
              {"local_index", session.local_index},
              {"remote_index", session.remote_index},
              {"age_s", session.age_s},
              {"expires_s", session.expires_s},
              {"lanes", session.lanes},
              {"tx_counter", session.tx_counter},
              {"rx_greatest", OrNull(session.rx_greatest)}};
}

Json DropJson(const DropStatus& drop) {
  return Json{{"scope", drop.scope},
              {"reason", drop.reason},
              {"count", drop.count},
              {"sentence", drop.sentence}};
}

// Scopes of one tunnel; counters of carriers and of the daemon belong to no single one.
bool ScopeIsOf(const std::string& scope, const std::string& tunnel) {
  return scope == "tunnel " + tunnel || scope.rfind("peer " + tunnel + "/", 0) == 0;
}

}  // namespace

Json ToJson(const Snapshot& snapshot, const Selection& selection) {
  const auto wanted = [&](Object object) {
    return selection.object == Object::kAll || selection.object == object;
  };
  const auto of_tunnel = [&](const std::string& tunnel) {
    return selection.name.empty() || selection.name == tunnel;
  };
  Json tunnels = Json::array(), peers = Json::array(), sessions = Json::array(),
       drops = Json::array();
  if (wanted(Object::kTunnels)) {
    for (const TunnelStatus& t : snapshot.tunnels)
      if (of_tunnel(t.name)) tunnels.push_back(TunnelJson(t));
  }
  if (wanted(Object::kPeers)) {
    for (const PeerSnapshot& p : snapshot.peers)
      if (of_tunnel(p.tunnel)) peers.push_back(PeerJson(p));
  }
  if (wanted(Object::kSessions)) {
    for (const SessionStatus& s : snapshot.sessions)
      if (of_tunnel(s.tunnel)) sessions.push_back(SessionJson(s));
  }
  if (wanted(Object::kDrops)) {
    for (const DropStatus& d : snapshot.drops)
      if (selection.name.empty() || ScopeIsOf(d.scope, selection.name))
        drops.push_back(DropJson(d));
  }
  return Json{{"version", kSchemaVersion},
              {"time", snapshot.time},
              {"daemon", DaemonJson(snapshot.daemon)},
              {"tunnels", std::move(tunnels)},
              {"peers", std::move(peers)},
              {"sessions", std::move(sessions)},
              {"drops", std::move(drops)}};
}

std::string Dump(const Json& document, int indent) {
  return document.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cipe::control
