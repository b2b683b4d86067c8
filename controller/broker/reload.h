// What one `cipectl reload` is about, from the check of its files until the engine has taken the
// last change. The broker carries it out (reload.cc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/tunnel.h"
#include "config/difference.h"

namespace cipe::broker {

struct ReloadStep {
  Tunnel* tunnel = nullptr;
  config::Difference difference;
  std::vector<std::string> drift;      // what somebody else changed
  std::vector<Identities> identities;  // of each peer of the new configuration
  Tunnel::Change change;               // the new configuration; once exchanged, the old one
  bool nothing() const { return difference.empty() && drift.empty(); }
};

struct Reload {
  uint64_t request = 0;
  std::vector<ReloadStep> steps;  // none once they are made: their tunnels may go any time
  std::string plan;               // Plan() as it was then
  // "TUNNEL<TAB>change<LF>", and a line without a change for each tunnel before its changes.
  std::string Plan() const;
};

// Identities that a TunnelChange took from peers. Until the engine has taken it, what it says of
// these peers is about those.
struct Leaving {
  uint64_t number = 0;   // of the TunnelChange
  bool new_key = false;  // sessions made before it must not be taken over
  std::map<ipc::PeerId, Identities> who;
};

// Of the tunnel as it was and as it will be; nothing is touched. FailedPrecondition with the way
// out for what a tunnel cannot take while it is up, else the errors of Tunnel::Prepare.
absl::StatusOr<ReloadStep> PlanStep(Tunnel* tunnel, config::Tunnel next);

// The message that makes the engine's tunnel what the broker's is now: `identities`, `peers` and
// configuration of step.tunnel are the new ones already. Without floors.
ipc::TunnelChange DescribeChange(const ReloadStep& step, uint64_t number);

}  // namespace cipe::broker
