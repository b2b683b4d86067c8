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

// Stable names of what keeps a tunnel from a higher rung (`rung_cause` of `cipectl -j show`):
//   configured          Datapath = says so
//   no_carrier          nothing says which interface outer packets use
//   carrier_missing     an interface is not there
//   carrier_unfit       of a kind that no XDP program of ours can be on
//   xdp_refused         the program cannot be attached: the driver's or the MTU's fault, or another
//                       program is there
//   sockets_not_made    AF_XDP sockets cannot be made (memory, kernel)
//   rings_pending       the engine is asked to map them; passes by itself
//   rings_late          it has not answered within CarrierTable::kPatience
//   rings_not_mapped    it could not map them
//   sockets_not_bound   the kernel does not bind them to the interface's queues
//   no_zero_copy        they run in copy mode: rung 2
struct DatapathChoice {
  int rung = 3;
  bool afxdp_tx = false;
  bool pending = false;                  // the rest holds until its carriers are set up
  std::string cause;                     // why not a higher rung: stable name; empty on rung 1
  std::string reason;                    // the same for people
  bool degraded = false;                 // something was asked for that could not be had
  Hindrance obstacle;                    // why a carrier that was planned is not among `carriers`
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

// Acquires what the plan names. Never fails for want of XDP: that is rung 3 and a reason. What is
// new is pending at first.
DatapathChoice ChooseDatapath(const CarrierPlan& plan, CarrierTable* carriers,
                              const config::Tunnel& config);

// What the choice's carriers come to as they are now: rung and reasons once more.
void Conclude(const CarrierTable& carriers, const config::Tunnel& config, DatapathChoice* choice);

}  // namespace cipe::broker
