// Which rung of the ladder a tunnel gets, on which carriers, and why not a higher one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/carrier_table.h"
#include "config/model.h"
#include "netlink/socket.h"

namespace cipe::broker {

struct DatapathChoice {
  int rung = 3;
  bool afxdp_tx = false;
  std::string reason;                    // why not a higher rung; empty on rung 1
  bool degraded = false;                 // something was asked for that could not be had
  std::vector<ipc::CarrierId> carriers;  // acquired: to be released by whoever holds the choice
  std::vector<uint32_t> vlans;           // tags of the carriers, 0 for none
  uint32_t path_mtu = 0;                 // smallest of carriers and routes, 0 when unknown
};

// Names of the interfaces that the tunnel's outer packets use: Carrier= as it stands, else the ways
// to the numeric endpoints, else the default routes. Empty when there is no route at all yet.
absl::StatusOr<std::vector<std::string>> FindCarriers(netlink::Socket* socket,
                                                      const config::Tunnel& config);

// Never fails for want of XDP: that is rung 3 and a reason. NotFound for a Carrier= that is not
// there.
absl::StatusOr<DatapathChoice> ChooseDatapath(netlink::Socket* socket, CarrierTable* carriers,
                                              const config::Tunnel& config);

}  // namespace cipe::broker
