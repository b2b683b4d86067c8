#include "tests/bpf/packet_builder.h"

#include "base/bytes.h"
#include "base/ip_address.h"

namespace cipe::bpftest {
namespace {

void Put16(Octets& out, uint16_t value) {
  out.push_back(static_cast<uint8_t>(value >> 8));
  out.push_back(static_cast<uint8_t>(value));
}

void Append(Octets& out, const uint8_t* data, size_t size) {
  out.insert(out.end(), data, data + size);
}

Octets Udp(const PacketSpec& spec) {
  Octets out;
  Put16(out, spec.source_port);
  Put16(out, spec.destination_port);
  Put16(out, static_cast<uint16_t>(8 + spec.payload.size() + spec.udp_length_delta));
  Put16(out, 0);
  Append(out, spec.payload.data(), spec.payload.size());
  return out;
}

// RFC 1071 over an IPv4 header whose checksum field is zero.
uint16_t HeaderChecksum(const Octets& header) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < header.size(); i += 2) sum += LoadBe16(&header[i]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Octets Ipv4(const PacketSpec& spec, const IpAddress& source, const IpAddress& destination) {
  const Octets udp = Udp(spec);
  const size_t header = 20 + spec.ip_options.size();
  const int version = spec.version ? spec.version : 4;
  Octets out = {static_cast<uint8_t>(version << 4 | header / 4), 0};
  Put16(out, static_cast<uint16_t>(header + udp.size() + spec.ip_length_delta));
  Put16(out, 1);
  Put16(out, spec.fragment);
  out.insert(out.end(), {64, spec.protocol, 0, 0});
  Append(out, source.octets.data(), 4);
  Append(out, destination.octets.data(), 4);
  Append(out, spec.ip_options.data(), spec.ip_options.size());
  StoreBe16(&out[10], HeaderChecksum(out));
  Append(out, udp.data(), udp.size());
  return out;
}

Octets Ipv6(const PacketSpec& spec, const IpAddress& source, const IpAddress& destination) {
  Octets body;
  for (size_t i = 0; i < spec.extensions.size(); ++i) {
    body.push_back(i + 1 < spec.extensions.size() ? spec.extensions[i + 1].first : spec.protocol);
    Append(body, spec.extensions[i].second.data(), spec.extensions[i].second.size());
  }
  const Octets udp = Udp(spec);
  Append(body, udp.data(), udp.size());
  const int version = spec.version ? spec.version : 6;
  Octets out = {static_cast<uint8_t>(version << 4), 0, 0, 0};
  Put16(out, static_cast<uint16_t>(body.size() + spec.ip_length_delta));
  out.push_back(spec.extensions.empty() ? spec.protocol : spec.extensions[0].first);
  out.push_back(64);
  Append(out, source.octets.data(), 16);
  Append(out, destination.octets.data(), 16);
  Append(out, body.data(), body.size());
  return out;
}

}  // namespace

Octets Build(const PacketSpec& spec) {
  const IpAddress source = IpAddress::Parse(spec.source).value();
  const IpAddress destination = IpAddress::Parse(spec.destination).value();
  Octets out;
  Append(out, spec.mac.data(), spec.mac.size());
  out.insert(out.end(), {2, 0, 0, 0, 0, 2});
  for (const auto& [tpid, tci] : spec.tags) {
    Put16(out, tpid);
    Put16(out, tci);
  }
  Put16(out, spec.ethertype ? spec.ethertype : destination.is_v4() ? 0x0800 : 0x86dd);
  const Octets ip =
      destination.is_v4() ? Ipv4(spec, source, destination) : Ipv6(spec, source, destination);
  Append(out, ip.data(), ip.size());
  out.resize(out.size() + spec.trailer);
  return out;
}

Octets DataFrame(uint32_t index, size_t body) {
  Octets out(16 + body + 16, 0xa5);
  StoreLe32(&out[0], 0x54);
  StoreLe32(&out[4], index);
  StoreLe64(&out[8], 7);
  return out;
}

}  // namespace cipe::bpftest
