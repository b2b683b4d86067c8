// One message of every type with every field set, and the count of this process's descriptors.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "ipc/messages.h"

namespace cipe::ipc {

inline int OpenFds() {
  DIR* dir = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(dir) != nullptr) ++count;
  closedir(dir);
  return count;
}

inline UniqueFd AnyFd() { return UniqueFd(open("/dev/null", O_RDWR | O_CLOEXEC)); }

inline bool SameFile(int a, int b) {
  struct stat x {
  }, y{};
  return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

inline Endpoint SampleEndpoint() { return *Endpoint::Parse("[fe80::1%7]:6789"); }

inline Floor SampleFloor(uint8_t seed) {
  Floor floor;
  for (size_t i = 0; i < 12; ++i) {
    floor.sent[i] = static_cast<uint8_t>(seed + 50 + i);
    floor.sent_reserved[i] = static_cast<uint8_t>(seed + i);
    floor.received[i] = static_cast<uint8_t>(seed + 100 + i);
  }
  return floor;
}

inline std::array<uint8_t, 32> Pattern(uint8_t start) {
  std::array<uint8_t, 32> octets;
  for (size_t i = 0; i < 32; ++i) octets[i] = static_cast<uint8_t>(start + i * 3);
  return octets;
}

inline config::ClassicOptions SampleClassic();

inline config::Tunnel SampleTunnel() {
  config::Tunnel t;
  t.name = "site-a";
  t.path = "/etc/cipe/site-a.conf";
  t.addresses = {*IpPrefix::Parse("10.9.0.2/24"), *IpPrefix::Parse("fd00::2/64")};
  t.listen_port = 6789;
  t.datapath = config::Datapath::kAfxdp;
  t.suite = Suite::kChaChaPolyBlake2s;
  t.carriers = {"eth0", "eth1"};
  t.lanes = 4;
  t.mtu = 1400;
  t.table = config::TableChoice::kNumber;
  t.table_number = 1234;
  t.fwmark = 77;
  t.mss_clamp = false;
  t.dscp = config::DscpChoice::kValue;
  t.dscp_value = 46;
  t.metric = 50;
  t.reject_when_down = true;
  t.rekey_s = 60;
  t.hooks = {{"a"}, {"b", "b2"}, {"c"}, {"d"}};
  t.private_key = Secret<32>::FromSpan(Pattern(0xa1));
  config::Peer key;
  key.name = "north";
  key.public_key = Pattern(9);
  key.preshared_key = Secret<32>::FromSpan(Pattern(0xb2));
  key.endpoints = {{"vpn.example.org", 6789}, {"192.0.2.7", 1}};
  key.allowed_ips = {*IpPrefix::Parse("10.0.1.0/24")};
  key.persistent_keepalive_s = 25;
  key.ping_s = 10;
  key.ping_timeout_s = 3;
  t.peers.push_back(std::move(key));
  config::Peer shared;
  shared.name = "south";
  shared.auth = config::Auth::kSharedKey;
  const auto octets = Pattern(0xc3);
  shared.shared_key = SecretBytes::FromSpan({octets.data(), 16});
  t.peers.push_back(std::move(shared));
  t.classic = SampleClassic();
  return t;
}

// Every field differs from its default.
inline config::ClassicOptions SampleClassic() {
  config::ClassicOptions c;
  c.cipher = config::ClassicCipher::kIdea;
  c.idea_order = config::IdeaOrder::kBig;
  const auto octets = Pattern(0xd4);
  c.key = Secret<16>::FromSpan({octets.data(), 16});
  c.nokey = true;
  c.me = {"10.0.0.1", 6789};
  c.peer = {"vpn.example.org", 6543};
  c.ipaddr = *IpAddress::Parse("10.0.1.1");
  c.ptpaddr = *IpAddress::Parse("10.0.1.2");
  c.mtu = 1400;
  c.cttl = 64;
  c.metric = 1;
  c.tokxc = 2;
  c.tokey = 3;
  c.tokxts = 4;
  c.ping = 5;
  c.toping = 6;
  c.maxerr = -1;
  c.ipup = "/bin/up";
  c.ipdown = "/bin/down";
  c.arg = "x y";
  c.socks = config::EndpointSpec{"proxy", 1080};
  c.socks_user = "me";
  c.device = "cipci0";
  c.debug = c.dynip = c.static_data = c.roam_any = c.kill = true;
  c.udpsum = false;
  c.datapath = config::Datapath::kSocket;
  c.carrier = "eth1";
  return c;
}

inline TunnelAdd SampleTunnelAdd() {
  TunnelAdd m;
  m.tunnel = 5;
  m.takeover = true;
  m.config = SampleTunnel();
  m.peers = {{11, SampleEndpoint(), SampleFloor(1)}, {12, {}, {}}};
  m.ifindex = 44;
  m.mtu = 1400;
  m.listen_port = 6789;
  m.tso = true;
  m.uso = true;
  m.datapath = {2,     true, true, true, "no_zero_copy", "copy mode", "carrier eth1 has no link",
                {1, 2}};
  m.tun.push_back(AnyFd());
  m.tun.push_back(AnyFd());
  m.udp4 = AnyFd();
  return m;
}

inline TunnelChange SampleTunnelChange() {
  TunnelChange m;
  m.tunnel = 5;
  m.number = 9;
  m.config = SampleTunnel();
  m.peers = {{11, SampleEndpoint(), SampleFloor(1)}, {12, {}, {}}};
  m.all = {12, 13, 11};
  m.mtu = 1400;
  m.listen_port = 6789;
  m.tso = m.uso = true;
  m.tun.push_back(AnyFd());
  m.udp4 = AnyFd();
  m.udp6 = AnyFd();
  return m;
}

inline std::vector<Message> SampleMessages() {
  std::vector<Message> all;
  Hello hello;
  hello.takeover = true;
  hello.starter_uid = 1000;
  hello.version = "0.1.0";
  hello.config_dir = "/etc/cipe";
  hello.state_dir = "/var/lib/cipe";
  for (size_t i = 0; i < hello.node_id.size(); ++i) hello.node_id[i] = static_cast<uint8_t>(i + 1);
  hello.control_listener = AnyFd();
  hello.seal_key = AnyFd();
  hello.route_probe4 = AnyFd();
  for (int i = 0; i < 8; ++i) hello.maps.push_back(AnyFd());
  all.push_back(std::move(hello));
  CarrierAdd carrier{3, "eth0", 2, {1, 2, 3, 4, 5, 6}, 1500, {}};
  for (uint32_t q = 0; q < 64; ++q) {
    carrier.queues.push_back({q, 4096, 8192, AnyFd(), AnyFd()});
  }
  all.push_back(std::move(carrier));
  all.push_back(CarrierRemove{3});
  all.push_back(SampleTunnelAdd());
  all.push_back(TunnelRemove{5});
  all.push_back(EndpointResolved{5, 11, SampleEndpoint(), "no such name"});
  all.push_back(NextHop{SampleEndpoint(),
                        3,
                        true,
                        1400,
                        *IpAddress::Parse("192.0.2.9"),
                        {1, 2, 3, 4, 5, 6},
                        {6, 5, 4, 3, 2, 1}});
  all.push_back(Reply{99, absl::NotFoundError("no such tunnel"), 5, true});
  all.push_back(Ready{});
  all.push_back(UpRequest{1, "site-a"});
  all.push_back(DownRequest{2, "site-a"});
  all.push_back(TunnelRemoved{5});
  all.push_back(FloorUpdate{3, 5, 11, SampleFloor(7)});
  all.push_back(NextHopWanted{5, SampleEndpoint()});
  all.push_back(EndpointFailed{5, 11, SampleEndpoint()});
  all.push_back(SmallestMtu{5, 1300});
  all.push_back(DatapathChanged{5, 1300, {1, true, false, true, "rings_pending", "soon", "", {3}}});
  all.push_back(Ping{77});
  all.push_back(Pong{78});
  all.push_back(ClassicRelay{5, SampleEndpoint(), "connected to 192.0.2.1:1080"});
  all.push_back(ClassicPeer{5, SampleEndpoint(), *IpAddress::Parse("10.0.1.2")});
  all.push_back(ClassicOver{5, "9 network errors"});
  all.push_back(Leave{});
  all.push_back(SourceGone{5, 11, SampleEndpoint(), *IpAddress::Parse("192.0.2.7")});
  all.push_back(PathUsed{5, 11, SampleEndpoint(), *IpAddress::Parse("2001:db8::7")});
  all.push_back(PathMtuKnown{5, 11, SampleEndpoint(), 1500, 1400, 1300});
  all.push_back(PathsChanged{});
  all.push_back(PathMtuWanted{5, 11, SampleEndpoint()});
  all.push_back(SampleTunnelChange());
  all.push_back(ReloadAnswer{4, absl::NotFoundError("not up"), AnyFd()});
  all.push_back(ReloadRequest{4, "site-a", true});
  all.push_back(TunnelChanged{5, 9, absl::InternalError("no")});
  all.push_back(CarrierRenamed{3, "wan0"});
  all.push_back(CarrierMapped{3, absl::FailedPreconditionError("RX ring cannot be mapped")});
  all.push_back(CarrierReady{3, true, absl::OkStatus()});
  return all;
}

}  // namespace cipe::ipc
