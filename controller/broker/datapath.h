// Which rung of the ladder a tunnel gets, on which carriers, and why not a higher one.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "broker/carrier_table.h"
#include "config/model.h"
#include "netlink/socket.h"

namespace cipe::broker {

struct DatapathChoice {
  int rung = 3;
  bool afxdp_tx = false;
  std::string reason;                    // why not a higher rung; empty on rung 1
  bool degraded = false;                 // something was asked for that could not be had
  std::string trouble;                   // why nothing can leave at all; empty as a rule
  std::vector<ipc::CarrierId> carriers;  // acquired: to be released by whoever holds the choice
  std::vector<uint32_t> vlans;           // tags of the carriers, 0 for none
  uint32_t path_mtu = 0;                 // smallest of carriers and routes, 0 when unknown
  std::vector<std::string> names;        // interfaces it was made for
  std::string seen;                      // CarrierPlan::Seen once the carriers were acquired
};

// What the network offers a tunnel at one moment; nothing is touched to find out.
struct CarrierPlan {
  std::vector<CarrierChoice> found;
  std::vector<std::string> missing;  // of Carrier=, or of the last choice
  uint32_t route_mtu = 0;            // smallest of the routes to known endpoints, 0 when none says
  absl::Status first_missing;        // NotFound that names the first of Carrier=; OK without one

  std::vector<std::string> Names() const;
  // Why nothing can leave: every interface is switched off or without link. Empty as a rule.
  std::string Trouble() const;
  // All that a choice depends on, as text: where it has not changed, there is nothing to choose
  // anew.
  std::string Seen(const CarrierTable& carriers) const;
};

// Names of the interfaces that the tunnel's outer packets use: Carrier= as it stands, else the ways
// to the `endpoints` that are known by now and to those configured as numbers, else the default
// routes. Empty when there is no route at all yet.
// `mark` is what outer packets carry (Tunnel::fwmark).
std::vector<std::string> FindCarriers(netlink::Socket* socket, const config::Tunnel& config,
                                      uint32_t mark, absl::Span<const Endpoint> endpoints);

// Carriers of the tunnel as they are now. Where no route says, `before` (names of the last choice)
// stays: an interface without routes for a moment keeps its program. Errors are netlink's own; an
// interface that is not there is none.
absl::StatusOr<CarrierPlan> PlanCarriers(netlink::Socket* socket, const config::Tunnel& config,
                                         uint32_t mark, absl::Span<const Endpoint> endpoints,
                                         const std::vector<std::string>& before);

// Acquires what the plan names. Never fails for want of XDP: that is rung 3 and a reason.
DatapathChoice ChooseDatapath(const CarrierPlan& plan, CarrierTable* carriers,
                              const config::Tunnel& config);

}  // namespace cipe::broker
