// Two sites, as most scenarios start.
#pragma once

#include <memory>

#include "crypto/x25519.h"
#include "tests/sim/host.h"

namespace cipe::sim {

struct PairOptions {
  Suite suite = Suite::kAesGcmSha256;
  bool shared_key = false;
  bool outer_v6 = false;
  bool a_knows_b = true;
  bool b_knows_a = true;
  int rekey_s = 120;
  int load_limit = 200;
  uint64_t seed = 1;
  uint32_t mtu_a = 1420, mtu_b = 1420;
  int ping_s = 0, ping_timeout_s = 0;  // of a
  std::optional<std::array<uint8_t, 32>> psk_a{}, psk_b{};
};

// Hosts a (10.9.0.1) and b (10.9.0.2), each with the other as its only peer.
class Pair {
 public:
  explicit Pair(const PairOptions& options = {}) : options_(options) {
    key_a = GeneratePrivateKey(rng_);
    key_b = GeneratePrivateKey(rng_);
    rng_.Fill(absl::MakeSpan(shared_));
    a = std::make_unique<Host>(OptionsOf(true), clock, network);
    b = std::make_unique<Host>(OptionsOf(false), clock, network);
  }

  HostOptions OptionsOf(bool is_a) {
    HostOptions o;
    o.at = *Endpoint::Parse(options_.outer_v6 ? (is_a ? "[2001:db8::1]:6789" : "[2001:db8::2]:6789")
                                              : (is_a ? "192.0.2.1:6789" : "192.0.2.2:6789"));
    const Endpoint other =
        *Endpoint::Parse(options_.outer_v6 ? (is_a ? "[2001:db8::2]:6789" : "[2001:db8::1]:6789")
                                           : (is_a ? "192.0.2.2:6789" : "192.0.2.1:6789"));
    o.seed = options_.seed * 2 + (is_a ? 0 : 1);
    o.load_limit = options_.load_limit;
    o.mtu = is_a ? options_.mtu_a : options_.mtu_b;
    config::Tunnel& c = o.config;
    c.name = is_a ? "a" : "b";
    c.suite = options_.suite;
    c.rekey_s = options_.rekey_s;
    c.addresses = {*IpPrefix::Parse(is_a ? "10.9.0.1/32" : "10.9.0.2/32"),
                   *IpPrefix::Parse(is_a ? "fd09::1/128" : "fd09::2/128")};
    if (!options_.shared_key) c.private_key = (is_a ? key_a : key_b).Clone();
    config::Peer p;
    p.name = is_a ? "b" : "a";
    if (options_.shared_key) {
      p.auth = config::Auth::kSharedKey;
      p.shared_key = SecretBytes::FromSpan(shared_);
    } else {
      p.public_key = *PublicKey(is_a ? key_b : key_a);
      const auto& psk = is_a ? options_.psk_a : options_.psk_b;
      if (psk.has_value()) p.preshared_key = Secret<32>::FromSpan(*psk);
    }
    p.ping_s = is_a ? options_.ping_s : 0;
    p.ping_timeout_s = is_a ? options_.ping_timeout_s : 0;
    const bool known = is_a ? options_.a_knows_b : options_.b_knows_a;
    if (known) p.endpoints = {{other.address.ToString(), other.port}};
    p.allowed_ips = {*IpPrefix::Parse(is_a ? "10.9.0.2/32" : "10.9.0.1/32"),
                     *IpPrefix::Parse(is_a ? "fd09::2/128" : "fd09::1/128")};
    c.peers.push_back(std::move(p));
    o.peer_endpoints = {known ? other : Endpoint{}};
    return o;
  }

  void Run(Duration span) { sim::Run(clock, network, {a.get(), b.get()}, span); }
  void AToB(uint32_t tag) { a->Inject(MakeInner("10.9.0.1", "10.9.0.2", tag)); }
  void BToA(uint32_t tag) { b->Inject(MakeInner("10.9.0.2", "10.9.0.1", tag)); }

 private:
  PairOptions options_;
  SeededRng rng_{77};
  std::array<uint8_t, 32> shared_{};

 public:
  ManualClock clock{FromNanos(1'000'000'000'000), WallTime{1'800'000'000'000'000'000}};
  Network network{clock, options_.seed};
  Secret<32> key_a, key_b;
  std::unique_ptr<Host> a, b;
};

}  // namespace cipe::sim
