// The typed configuration of one tunnel: what a file says, checked, with defaults filled in.
// Pure data; secrets only in Secret types.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "config/classic.h"
#include "config/datapath.h"
#include "config/endpoint_spec.h"
#include "crypto/secret.h"
#include "crypto/suite.h"

namespace cipe::config {

enum class TableChoice { kAuto, kOff, kNumber };

enum class Auth { kPublicKey, kSharedKey };

// Of outer packets; the ECN field beside it follows RFC 6040 whatever this says.
enum class DscpChoice { kNone, kCopy, kValue };

// What can be copied freely, apart from the secrets.
struct PeerOptions {
  std::string name;  // never empty: see DefaultPeerName
  Auth auth = Auth::kPublicKey;
  std::array<uint8_t, 32> public_key{};  // when kPublicKey
  std::vector<EndpointSpec> endpoints;   // in order of preference; empty: waits to be called
  std::vector<IpPrefix> allowed_ips;     // masked, no duplicates
  int persistent_keepalive_s = 0;        // 0 = off
  int ping_s = 0;                        // between two echo requests; 0 = none
  int ping_timeout_s = 0;                // that an answer may take; 0 = misses do not count
  friend bool operator==(const PeerOptions&, const PeerOptions&) = default;
};

struct Peer : PeerOptions {
  std::optional<SecretBytes> shared_key;  // when kSharedKey: 16 or 32 octets
  std::optional<Secret<32>> preshared_key;
  Peer Clone() const;  // a second copy, secrets included
  friend bool operator==(const Peer&, const Peer&) = default;
};

// Commands for /bin/sh, each in order; %i stands for the name of the tunnel.
struct Hooks {
  std::vector<std::string> pre_up, post_up, pre_down, post_down;
  friend bool operator==(const Hooks&, const Hooks&) = default;
};

struct TunnelOptions {
  std::string name;                 // file stem; also the netdev's name; 1-15 characters
  std::string path;                 // of the file, for messages
  std::vector<IpPrefix> addresses;  // host bits kept
  uint16_t listen_port = 0;         // 0 = any free one
  int protocol = 5;                 // 3 when `classic` is set
  Datapath datapath = Datapath::kAuto;
  Suite suite = Suite::kAesGcmSha256;
  std::vector<std::string> carriers;  // empty = auto
  int lanes = 1;                      // 1..64
  int mtu = 0;                        // 0 = auto
  bool mss_clamp = true;
  DscpChoice dscp = DscpChoice::kNone;
  uint8_t dscp_value = 0;  // when kValue: 0..63
  TableChoice table = TableChoice::kAuto;
  uint32_t table_number = 0;      // when kNumber
  uint32_t metric = 0;            // of routes; 0 = the kernel's default
  uint32_t fwmark = 0;            // 0 = none
  bool reject_when_down = false;  // AllowedIPs are unreachable while the tunnel cannot carry them
  int rekey_s = 120;              // 15..120
  Hooks hooks;
  friend bool operator==(const TunnelOptions&, const TunnelOptions&) = default;
};

struct Tunnel : TunnelOptions {
  std::optional<Secret<32>> private_key;  // absent only when every peer has a shared key
  std::vector<Peer> peers;
  // The classic system (protocol 3). Then `peers` holds one Peer for the endpoint and the name in
  // status and logs; it has no key and may send from and to every IPv4 address.
  std::optional<ClassicOptions> classic;
  Tunnel Clone() const;  // a second copy, secrets included
  // Everything, secrets included (in constant time); the order of peers and prefixes counts.
  friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

// What the netdev's MTU is never lowered below, whatever a peer says: 1280 octets (RFC 8200,
// section 5) when IPv6 runs inside, since the kernel takes IPv6 off a netdev with less; else 576
// (RFC 791).
uint32_t LeastMtu(const Tunnel& tunnel);
uint32_t LeastMtu(const TunnelOptions& tunnel, bool ipv6_in_allowed_ips);
bool HasIpv6(const std::vector<IpPrefix>& prefixes);

}  // namespace cipe::config
