#include "tests/bpf/fixtures.h"

#include <random>

#include "base/bytes.h"
#include "steering/maps.h"

namespace cipe::bpftest {
namespace {

constexpr uint32_t kSession = 0x123456;       // peer 42, tunnel 1, two lanes
constexpr uint32_t kOtherSession = 0x222222;  // peer 43, tunnel 2, one lane
constexpr uint32_t kIndex = kSession << CIPE_LANE_BITS;
constexpr uint32_t kOtherIndex = kOtherSession << CIPE_LANE_BITS;

PacketSpec V4(Octets payload) {
  PacketSpec spec;
  spec.payload = std::move(payload);
  return spec;
}

PacketSpec V6(Octets payload) {
  PacketSpec spec = V4(std::move(payload));
  spec.source = "2001:db8:0:1::2";
  spec.destination = "2001:db8::1";
  return spec;
}

template <typename Change>
Octets With(PacketSpec spec, Change change) {
  change(spec);
  return Build(spec);
}

Octets Typed(uint8_t type, size_t size = 148) {
  Octets payload(size, 0);
  payload[0] = type;
  return payload;
}

Octets Reserved(int position) {
  Octets payload = DataFrame(kIndex);
  payload[position] = 1;
  return payload;
}

void AddSteered(std::vector<Fixture>& all) {
  const auto steer = [&all](std::string what, Octets packet, uint32_t peer = 42) {
    all.push_back({std::move(what), std::move(packet), Verdict::kSteer, 0, peer});
  };
  const Octets data = DataFrame(kIndex);
  const Octets extension(7, 0);  // 8 octets with the type of the next header
  steer("IPv4 data frame", Build(V4(data)));
  steer("IPv6 data frame", Build(V6(data)));
  steer("second lane", Build(V4(DataFrame(kIndex | 1))));
  steer("shortest data frame (keepalive)", Build(V4(DataFrame(kIndex, 0))));
  steer("Ethernet padding behind", With(V4(data), [](auto& s) { s.trailer = 6; }));
  steer("IPv4 options", With(V4(data), [](auto& s) { s.ip_options = Octets(40, 1); }));
  steer("do-not-fragment", With(V4(data), [](auto& s) { s.fragment = 0x4000; }));
  steer("VLAN 7", With(V4(data), [](auto& s) { s.tags = {{0x8100, 0x6007}}; }));
  steer("priority tag", With(V4(data), [](auto& s) { s.tags = {{0x8100, 0xe000}}; }));
  steer("VLAN 8 in 7", With(V4(data), [](auto& s) { s.tags = {{0x88a8, 7}, {0x8100, 8}}; }));
  steer("hop-by-hop and destination options", With(V6(data), [&](auto& s) {
          s.extensions = {{0, extension}, {60, extension}};
        }));
  steer("finished routing header", With(V6(data), [&](auto& s) {
          s.extensions = {{43, extension}};
        }));
  steer("as many extension headers as allowed", With(V6(data), [&](auto& s) {
          s.extensions = {{0, extension},  {60, extension}, {43, extension},
                          {60, extension}, {60, extension}, {60, extension}};
        }));
  steer("classic listener, any octets",
        With(V4(Typed(0xee, 24)), [](auto& s) { s.destination_port = 6791; }), 0);
  steer("classic listener, one octet",
        With(V4(Typed(0xee, 1)), [](auto& s) { s.destination_port = 6791; }), 0);
}

void AddDropped(std::vector<Fixture>& all) {
  const auto drop = [&all](std::string what, Octets packet, uint32_t reason, int repeat = 1) {
    all.push_back({std::move(what), std::move(packet), Verdict::kDrop, reason, 0, repeat});
  };
  const Octets data = DataFrame(kIndex);
  drop("data frame one octet too short", Build(V4(Octets(data.begin(), data.begin() + 31))),
       cipe_drop_xdp_malformed);
  drop("data frame of one octet", Build(V4({0x54})), cipe_drop_xdp_malformed);
  drop("no payload", Build(V4({})), cipe_drop_xdp_malformed);
  drop("UDP length beyond the packet", With(V4(data), [](auto& s) { s.udp_length_delta = 1; }),
       cipe_drop_xdp_malformed);
  drop("UDP length below its header", With(V6(data), [](auto& s) { s.udp_length_delta = -97; }),
       cipe_drop_xdp_malformed);
  drop("no payload on a classic listener", With(V4({}), [](auto& s) { s.destination_port = 6791; }),
       cipe_drop_xdp_malformed);
  for (int type : {0x00, 0x01, 0x04, 0x50, 0x55, 0xff}) {
    drop("type " + std::to_string(type), Build(V4(Typed(static_cast<uint8_t>(type)))),
         cipe_drop_xdp_unknown_type);
  }
  drop("unknown type, short payload", Build(V4({0x45, 0, 0})), cipe_drop_xdp_unknown_type);
  for (int octet : {1, 2, 3}) {
    drop("reserved octet " + std::to_string(octet), Build(V4(Reserved(octet))),
         cipe_drop_xdp_reserved_bits);
  }
  drop("unknown session", Build(V4(DataFrame(0x654321 << CIPE_LANE_BITS))),
       cipe_drop_xdp_unknown_session);
  drop("unknown session at a listener that does not steer",
       With(V4(DataFrame(0)), [](auto& s) { s.destination_port = 6790; }),
       cipe_drop_xdp_unknown_session);
  drop("lane beyond the last", Build(V4(DataFrame(kIndex | 2))), cipe_drop_xdp_unknown_lane);
  drop("last lane there is", Build(V6(DataFrame(kIndex | 63))), cipe_drop_xdp_unknown_lane);
  drop("session of another listener", Build(V4(DataFrame(kOtherIndex))),
       cipe_drop_xdp_wrong_listener);
  drop("IPv4 control flood", With(V4(Typed(0x51)), [](auto& s) { s.source = "198.51.100.9"; }),
       cipe_drop_xdp_control_flood, kControlBurst + 1);
  drop("IPv6 control flood", With(V6(Typed(0x52)), [](auto& s) { s.source = "2001:db8:9::1"; }),
       cipe_drop_xdp_control_flood, kControlBurst + 1);
  drop("IPv6 control flood from the same /64",
       With(V6(Typed(0x51)), [](auto& s) { s.source = "2001:db8:9::2"; }),
       cipe_drop_xdp_control_flood);
}

void AddPassedControl(std::vector<Fixture>& all) {
  int host = 10;
  for (int type : {0x51, 0x52, 0x53}) {
    all.push_back({"control frame " + std::to_string(type),
                   With(V4(Typed(static_cast<uint8_t>(type))),
                        [&](auto& s) { s.source = "198.51.100." + std::to_string(host); }),
                   Verdict::kPass});
    ++host;
  }
  all.push_back({"another /64 than the flood's",
                 With(V6(Typed(0x51)), [](auto& s) { s.source = "2001:db8:9:1::1"; }),
                 Verdict::kPass});
}

void AddNotOurs(std::vector<Fixture>& all) {
  const auto pass = [&all](std::string what, Octets packet) {
    all.push_back({std::move(what), std::move(packet), Verdict::kPass});
  };
  const Octets data = DataFrame(kIndex);
  const auto port = [](uint16_t number) {
    return [number](auto& s) { s.destination_port = number; };
  };
  pass("another MAC", With(V4(data), [](auto& s) { s.mac = {2, 0, 0, 0, 0, 9}; }));
  pass("broadcast MAC", With(V4(data), [](auto& s) { s.mac.fill(0xff); }));
  pass("another address", With(V4(data), [](auto& s) { s.destination = "192.0.2.3"; }));
  pass("another IPv6 address", With(V6(data), [](auto& s) { s.destination = "2001:db8::2"; }));
  pass("another port", With(V4(data), port(6788)));
  pass("another VLAN", With(V4(data), [](auto& s) { s.tags = {{0x8100, 9}}; }));
  pass("tags the other way round", With(V4(data), [](auto& s) {
         s.tags = {{0x88a8, 8}, {0x8100, 7}};
       }));
  pass("untagged frame for a listener in a VLAN", With(V4(data), port(6794)));
  pass("data at a listener that does not steer", With(V4(DataFrame(kOtherIndex)), port(6790)));
  pass("classic listener that does not steer", With(V4(Typed(0xee)), port(6792)));
  pass("listener of an unknown protocol", With(V4(data), port(6793)));
}

void AddOdd(std::vector<Fixture>& all) {
  const auto pass = [&all](std::string what, Octets packet) {
    all.push_back({std::move(what), std::move(packet), Verdict::kPass});
  };
  const Octets data = DataFrame(kIndex);
  const Octets extension(7, 0);
  Octets unfinished = extension;
  unfinished[2] = 1;  // segments left
  pass("three tags", With(V4(data), [](auto& s) {
         s.tags = {{0x88a8, 0}, {0x8100, 0}, {0x8100, 0}};
       }));
  pass("ARP", With(V4(data), [](auto& s) { s.ethertype = 0x0806; }));
  pass("TCP", With(V4(data), [](auto& s) { s.protocol = 6; }));
  pass("ICMPv6", With(V6(data), [](auto& s) { s.protocol = 58; }));
  pass("first IPv4 fragment", With(V4(data), [](auto& s) { s.fragment = 0x2000; }));
  pass("later IPv4 fragment", With(V4(data), [](auto& s) { s.fragment = 0x0010; }));
  pass("IPv6 fragment", With(V6(data), [&](auto& s) { s.extensions = {{44, extension}}; }));
  pass("AH", With(V6(data), [&](auto& s) { s.extensions = {{51, extension}}; }));
  pass("routing header with segments left", With(V6(data), [&](auto& s) {
         s.extensions = {{43, unfinished}};
       }));
  pass("one extension header too many", With(V6(data), [&](auto& s) {
         s.extensions.assign(7, {60, extension});
       }));
  pass("extension header longer than the packet", With(V6(data), [](auto& s) {
         s.extensions = {{60, {255, 0, 0, 0, 0, 0, 0}}};
       }));
  pass("IPv4 length beyond the frame", With(V4(data), [](auto& s) { s.ip_length_delta = 1; }));
  pass("IPv4 length within UDP's header",
       With(V4(data), [](auto& s) { s.ip_length_delta = -100; }));
  pass("IPv6 length beyond the frame", With(V6(data), [](auto& s) { s.ip_length_delta = 1; }));
  pass("IPv4 version 5", With(V4(data), [](auto& s) { s.version = 5; }));
  pass("IPv6 version 4", With(V6(data), [](auto& s) { s.version = 4; }));
  Octets short_header = Build(V4(data));
  short_header[14] = 0x44;
  pass("IPv4 header of 16 octets", std::move(short_header));
}

void AddListener(World& world, const char* at, uint32_t vlan, uint8_t protocol, uint32_t flags,
                 uint32_t tunnel) {
  cipe_listener listener{};
  listener.tunnel = tunnel;
  listener.flags = flags;
  listener.protocol = protocol;
  world.listeners.emplace_back(steering::ListenerKey(Endpoint::Parse(at).value(), vlan), listener);
}

void AddSession(World& world, uint32_t index, uint32_t peer, uint32_t tunnel, uint32_t lanes) {
  cipe_session session{};
  session.peer = peer;
  session.tunnel = tunnel;
  session.lanes = lanes;
  world.sessions.emplace_back(index, session);
}

}  // namespace

World MakeWorld() {
  World world{};
  world.carrier.mac[0] = 2;
  world.carrier.mac[5] = 1;
  AddListener(world, "192.0.2.1:6789", 0, 5, CIPE_LISTENER_STEER, 1);
  AddListener(world, "[2001:db8::1]:6789", 0, 5, CIPE_LISTENER_STEER, 1);
  AddListener(world, "192.0.2.1:6789", 7, 5, CIPE_LISTENER_STEER, 1);
  AddListener(world, "192.0.2.1:6789", 7 << 16 | 8, 5, CIPE_LISTENER_STEER, 1);
  AddListener(world, "192.0.2.1:6790", 0, 5, 0, 2);
  AddListener(world, "192.0.2.1:6791", 0, 3, CIPE_LISTENER_STEER, 3);
  AddListener(world, "192.0.2.1:6792", 0, 3, 0, 4);
  AddListener(world, "192.0.2.1:6793", 0, 9, CIPE_LISTENER_STEER, 5);
  AddListener(world, "192.0.2.1:6794", 7, 5, CIPE_LISTENER_STEER, 1);
  AddSession(world, kSession, 42, 1, 2);
  AddSession(world, kOtherSession, 43, 2, 1);
  return world;
}

std::vector<Fixture> MakeFixtures() {
  std::vector<Fixture> all;
  AddSteered(all);
  AddDropped(all);
  AddPassedControl(all);
  AddNotOurs(all);
  AddOdd(all);
  return all;
}

std::vector<Octets> MutatedFrames(uint32_t seed, int count) {
  std::mt19937 random(seed);
  const std::vector<Fixture> fixtures = MakeFixtures();
  std::vector<Octets> frames;
  for (int i = 0; i < count; ++i) {
    Octets frame = fixtures[random() % fixtures.size()].packet;
    for (uint32_t changes = random() % 4; changes > 0; --changes) {
      // Most changes go to the headers, where the decisions are.
      frame[random() % std::min<size_t>(frame.size(), 70)] = static_cast<uint8_t>(random());
    }
    if (random() % 4 == 0) frame.resize(14 + random() % (frame.size() - 13));
    frames.push_back(std::move(frame));
  }
  return frames;
}

}  // namespace cipe::bpftest
