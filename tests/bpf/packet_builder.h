// Ethernet frames to order, well-formed unless told otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cipe::bpftest {

using Octets = std::vector<uint8_t>;

struct PacketSpec {
  std::array<uint8_t, 6> mac{2, 0, 0, 0, 0, 1};     // destination
  std::vector<std::pair<uint16_t, uint16_t>> tags;  // TPID and TCI, outermost first
  uint16_t ethertype = 0;                           // 0: what the addresses ask for
  std::string source = "192.0.2.2";
  std::string destination = "192.0.2.1";
  uint16_t source_port = 40000;
  uint16_t destination_port = 6789;
  uint8_t protocol = 17;
  Octets ip_options;                                   // IPv4, multiple of 4 octets
  uint16_t fragment = 0;                               // IPv4 flags and offset
  std::vector<std::pair<uint8_t, Octets>> extensions;  // IPv6 type; octets but the first one
  int ip_length_delta = 0;
  int udp_length_delta = 0;
  int version = 0;  // 0: the right one
  Octets payload;
  size_t trailer = 0;  // Ethernet padding, octets
};

Octets Build(const PacketSpec& spec);

// A data frame of protocol 5: header, `body` octets of ciphertext and the tag.
Octets DataFrame(uint32_t index, size_t body = 64);

}  // namespace cipe::bpftest
