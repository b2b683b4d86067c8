// What a tunnel's configuration looks like in octets, secrets included. Part of layout.h.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ip_address.h"
#include "config/model.h"
#include "crypto/secret.h"
#include "ipc/archive.h"

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

}  // namespace cipe::ipc::layout
