// What changes between two configurations of one tunnel, for `cipectl reload`: which peers stay,
// come and go, which options change, and what a running tunnel cannot take. Pure: no I/O, and no
// secret in any text.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/model.h"

namespace cipe::config {

// A peer that is in both: it has the same public or shared key, whatever it is called.
struct KeptPeer {
  size_t before = 0;       // position in the old configuration
  size_t after = 0;        // and in the new one
  bool changed = false;    // anything but its position
  bool endpoints = false;  // its Endpoint lines
};

struct Difference {
  // For people, one change each, in the order of docs/configuration.md, peers last: "Rekey: 120 ->
  // 60", "peer north: AllowedIPs + 10.2.0.0/24".
  std::vector<std::string> lines;
  // Those of `lines` that a tunnel which is up cannot take.
  std::vector<std::string> refused;

  bool private_key = false;  // every session belongs to the old one
  bool listen_port = false;
  bool fwmark = false;
  bool addresses = false;
  bool datapath = false;  // Datapath or Carrier

  std::vector<size_t> added;    // positions in the new configuration, rising
  std::vector<size_t> removed;  // positions in the old one, rising
  std::vector<KeptPeer> kept;   // in the new one's order

  bool empty() const { return lines.empty(); }
};

// From `before` to `after`, which have the same name. Takes time in the number of peers and
// prefixes. An option that this function does not know makes the difference a refused one, so that
// none is ever ignored.
Difference FindDifference(const Tunnel& before, const Tunnel& after);

}  // namespace cipe::config
