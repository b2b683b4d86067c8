// Two boxes joined by protocol 3, as in the HOWTO's test section.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "tests/sim/host.h"

namespace cipe::sim {

inline constexpr char kA[] = "192.0.2.1:6789", kB[] = "192.0.2.2:6543";

struct ClassicPairOptions {
  config::ClassicCipher cipher = config::ClassicCipher::kBlowfish;
  config::IdeaOrder order = config::IdeaOrder::kLittle;
  bool a_knows_b = true;
  bool a_knows_ptpaddr = true;
  uint64_t seed = 1;
  // Changes to either end's options.
  std::function<void(bool is_a, config::ClassicOptions&)> change;
};

// The two boxes of the HOWTO's test section, 10.0.1.1 and 10.0.1.2 inside.
class ClassicPair {
 public:
  explicit ClassicPair(ClassicPairOptions options = {}) : options_(std::move(options)) {
    a = std::make_unique<Host>(OptionsOf(true), clock, network);
    b = std::make_unique<Host>(OptionsOf(false), clock, network);
  }

  config::ClassicOptions Classic(bool is_a) const {
    config::ClassicOptions c;
    c.cipher = options_.cipher;
    c.idea_order = options_.order;
    std::array<uint8_t, 16> key;
    for (int i = 0; i < 16; ++i) key[i] = static_cast<uint8_t>(0x10 + i);
    c.key = Secret<16>::FromSpan(key);
    const Endpoint me = *Endpoint::Parse(is_a ? kA : kB), peer = *Endpoint::Parse(is_a ? kB : kA);
    c.me = {me.address.ToString(), me.port};
    c.peer = {peer.address.ToString(), peer.port};
    c.ipaddr = *IpAddress::Parse(is_a ? "10.0.1.1" : "10.0.1.2");
    c.ptpaddr = *IpAddress::Parse(is_a ? "10.0.1.2" : "10.0.1.1");
    if (is_a && !options_.a_knows_b) c.peer = {"0.0.0.0", 0};
    if (is_a && !options_.a_knows_ptpaddr) c.ptpaddr = *IpAddress::Parse("0.0.0.0");
    if (options_.change) options_.change(is_a, c);
    return c;
  }

  HostOptions OptionsOf(bool is_a) const {
    HostOptions o;
    o.at = *Endpoint::Parse(is_a ? kA : kB);
    o.seed = options_.seed * 2 + (is_a ? 0 : 1);
    o.mtu = 1442;
    o.config.name = is_a ? "cipcb0" : "cipcb1";
    o.config.addresses = {*IpPrefix::Parse(is_a ? "10.0.1.1/32" : "10.0.1.2/32")};
    config::Peer p;
    p.name = is_a ? "b" : "a";
    const bool known = !is_a || options_.a_knows_b;
    if (known) p.endpoints = {Classic(is_a).peer};
    p.allowed_ips = {*IpPrefix::Parse("0.0.0.0/0")};
    o.config.peers.push_back(std::move(p));
    o.peer_endpoints = {known ? *Endpoint::Parse(is_a ? kB : kA) : Endpoint{}};
    o.classic = [this, is_a] { return Classic(is_a); };
    return o;
  }

  void Run(Duration span) { sim::Run(clock, network, {a.get(), b.get()}, span); }
  void AToB(uint32_t tag, uint8_t tos = 0) {
    a->Inject(MakeInner("10.0.1.1", "10.0.1.2", tag, 400, tos));
  }
  void BToA(uint32_t tag) { b->Inject(MakeInner("10.0.1.2", "10.0.1.1", tag, 400)); }

 private:
  ClassicPairOptions options_;

 public:
  ManualClock clock{FromNanos(1'000'000'000'000), WallTime{1'800'000'000'000'000'000}};
  Network network{clock, options_.seed};
  std::unique_ptr<Host> a, b;
};

inline std::set<uint32_t> Tags(const Host& host) {
  std::set<uint32_t> tags;
  for (const auto& inner : host.delivered) tags.insert(TagOf(inner));
  return tags;
}

// What inner packets of 428 octets become; exchange messages have 72 to 328.
inline constexpr size_t kDataSize = 448;

}  // namespace cipe::sim
