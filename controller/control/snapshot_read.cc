// The reading half of snapshot_json.h, for cipectl. Any document of any shape is safe to read: a
// value of another type than expected counts as missing.
#include <limits>
#include <utility>

#include "control/snapshot_json.h"

namespace cipe::control {
namespace {

const Json* Find(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

void Read(const Json& object, const char* name, std::string* out) {
  const Json* value = Find(object, name);
  if (value != nullptr && value->is_string()) *out = value->get<std::string>();
}

template <typename Integer>
requires std::is_integral_v<Integer>
void Read(const Json& object, const char* name, Integer* out) {
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_number_integer()) return;
  if (value->is_number_unsigned()) {
    const uint64_t number = value->get<uint64_t>();
    if (std::in_range<Integer>(number)) *out = static_cast<Integer>(number);
  } else if (const int64_t number = value->get<int64_t>(); std::in_range<Integer>(number)) {
    *out = static_cast<Integer>(number);
  }
}

void Read(const Json& object, const char* name, double* out) {
  const Json* value = Find(object, name);
  if (value != nullptr && value->is_number()) *out = value->get<double>();
}

template <typename T>
void Read(const Json& object, const char* name, std::optional<T>* out) {
  if (Find(object, name) == nullptr) return;
  T value{};
  Read(object, name, &value);
  *out = std::move(value);
}

void Read(const Json& object, const char* name, std::vector<std::string>* out) {
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_array()) return;
  for (const Json& item : *value)
    if (item.is_string()) out->push_back(item.get<std::string>());
}

void Read(const Json& object, const char* name, std::vector<DropCount>* out) {
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_object()) return;
  for (const auto& [reason, count] : value->items()) {
    DropCount drop{reason, 0};
    Read(*value, reason.c_str(), &drop.count);
    out->push_back(std::move(drop));
  }
}

void Read(const Json& object, Traffic* out) {
  Read(object, "rx_bytes", &out->rx_bytes);
  Read(object, "tx_bytes", &out->tx_bytes);
  Read(object, "rx_packets", &out->rx_packets);
  Read(object, "tx_packets", &out->tx_packets);
}

// The value of `values` whose name is the string `name` of `object`; *out stays for any other.
template <typename E>
void ReadName(const Json& object, const char* name, std::initializer_list<E> values,
              const char* (*name_of)(E), E* out) {
  std::string text;
  Read(object, name, &text);
  for (const E value : values)
    if (text == name_of(value)) *out = value;
}

void Read(const Json& object, Rung* out) {
  ReadName(object, "rung_name",
           {Rung::kAfxdpZeroCopy, Rung::kAfxdpCopy, Rung::kAfxdpRx, Rung::kSocket}, RungName, out);
}

void Read(const Json& object, CarrierStatus* out) {
  Read(object, "name", &out->name);
  Read(object, "queues", &out->queues);
  Read(object, "mode", &out->mode);
  Read(object, "reason", &out->reason);
}

// Every object of the array `name`, read by `read`.
template <typename T>
void ReadAll(const Json& object, const char* name, void (*read)(const Json&, T*),
             std::vector<T>* out) {
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_array()) return;
  for (const Json& item : *value) {
    if (!item.is_object()) continue;
    read(item, &out->emplace_back());
  }
}

void Read(const Json& object, TunnelStatus* out) {
  Read(object, "name", &out->name);
  Read(object, "id", &out->id);
  ReadName(object, "state", {TunnelState::kUp, TunnelState::kDegraded, TunnelState::kDown},
           TunnelStateName, &out->state);
  Read(object, "reason", &out->reason);
  Read(object, "protocol", &out->protocol);
  Read(object, "suite", &out->suite);
  Read(object, "insecure", &out->insecure);
  Read(object, "listen_port", &out->listen_port);
  Read(object, "addresses", &out->addresses);
  Read(object, "mtu", &out->mtu);
  Read(object, &out->rung);
  Read(object, "rung_reason", &out->rung_reason);
  Read(object, "rung_cause", &out->rung_cause);
  ReadAll<CarrierStatus>(object, "carriers", Read, &out->carriers);
  Read(object, "public_key", &out->public_key);
  Read(object, "peers", &out->peers);
  Read(object, &out->traffic);
  Read(object, "drops", &out->drops);
}

void Read(const Json& object, PeerSnapshot* out) {
  Read(object, "tunnel", &out->tunnel);
  Read(object, "name", &out->name);
  Read(object, "public_key", &out->public_key);
  Read(object, "endpoint", &out->endpoint);
  Read(object, "allowed_ips", &out->allowed_ips);
  Read(object, "latest_handshake", &out->latest_handshake);
  Read(object, &out->traffic);
  Read(object, &out->rung);
  Read(object, "rung_reason", &out->rung_reason);
  Read(object, "path_mtu", &out->path_mtu);
  Read(object, "path_mtu_source", &out->path_mtu_source);
  Read(object, "persistent_keepalive", &out->persistent_keepalive);
  ReadName(object, "status",
           {PeerStatus::kConnected, PeerStatus::kHandshaking, PeerStatus::kNoAnswer,
            PeerStatus::kIdle, PeerStatus::kNoEndpoint, PeerStatus::kDead},
           PeerStatusName, &out->status);
  Read(object, "rtt_ms", &out->rtt_ms);
  Read(object, "why", &out->why);
  Read(object, "advice", &out->advice);
  Read(object, "drops", &out->drops);
}

void Read(const Json& object, SessionStatus* out) {
  Read(object, "tunnel", &out->tunnel);
  Read(object, "peer", &out->peer);
  Read(object, "slot", &out->slot);
  Read(object, "role", &out->role);
  Read(object, "local_index", &out->local_index);
  Read(object, "remote_index", &out->remote_index);
  Read(object, "age_s", &out->age_s);
  Read(object, "expires_s", &out->expires_s);
  Read(object, "lanes", &out->lanes);
  Read(object, "tx_counter", &out->tx_counter);
  Read(object, "rx_greatest", &out->rx_greatest);
}

void Read(const Json& object, DropStatus* out) {
  Read(object, "scope", &out->scope);
  Read(object, "reason", &out->reason);
  Read(object, "count", &out->count);
  Read(object, "sentence", &out->sentence);
}

}  // namespace

absl::StatusOr<Snapshot> SnapshotFromJson(const Json& document) {
  if (!document.is_object()) {
    return absl::InvalidArgumentError("status from ciped is not a JSON object");
  }
  Snapshot snapshot;
  Read(document, "time", &snapshot.time);
  if (const Json* daemon = Find(document, "daemon"); daemon != nullptr) {
    Read(*daemon, "version", &snapshot.daemon.version);
    Read(*daemon, "ciped_pid", &snapshot.daemon.ciped_pid);
    Read(*daemon, "engine_pid", &snapshot.daemon.engine_pid);
    Read(*daemon, "abi", &snapshot.daemon.abi);
    Read(*daemon, "aead", &snapshot.daemon.aead);
  }
  ReadAll<TunnelStatus>(document, "tunnels", Read, &snapshot.tunnels);
  ReadAll<PeerSnapshot>(document, "peers", Read, &snapshot.peers);
  ReadAll<SessionStatus>(document, "sessions", Read, &snapshot.sessions);
  ReadAll<DropStatus>(document, "drops", Read, &snapshot.drops);
  return snapshot;
}

}  // namespace cipe::control
