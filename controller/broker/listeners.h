// Entries of cipe_listeners: every local address times the ports of our tunnels, kept right while
// addresses come and go.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "netlink/socket.h"
#include "steering/maps.h"

namespace cipe::broker {

struct Listener {
  uint32_t tunnel = 0;
  uint16_t port = 0;            // host order
  std::vector<uint32_t> vlans;  // tags of its carriers, 0 for none
  bool steer = false;           // data frames to AF_XDP
  uint8_t protocol = 5;         // 3: no frame has a magic, all of them are this tunnel's
  int tunnel_ifindex = 0;       // its own netdev's addresses are no listeners
};

class Listeners {
 public:
  explicit Listeners(const steering::MapSet& maps) : maps_(maps) {}

  // The map came from another daemon: its entries count as written by us.
  absl::Status Adopt();
  // Makes the map say what `wanted` and the host's addresses say; changes only what differs.
  // ResourceExhausted: the map has no room for all.
  absl::Status Sync(netlink::Socket* socket, const std::vector<Listener>& wanted);

 private:
  absl::Status Write(const std::map<std::string, std::string>& next);

  const steering::MapSet& maps_;
  // Keys and values as octets, for comparing.
  std::map<std::string, std::string> written_;
};

}  // namespace cipe::broker
