#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "broker/reload.h"

namespace cipe::broker {

std::string Reload::Plan() const {
  std::string plan;
  for (const ReloadStep& step : steps) {
    const std::string& name = step.tunnel->config().name;
    absl::StrAppend(&plan, name, "\t\n");
    for (const auto* lines : {&step.difference.lines, &step.drift}) {
      for (const std::string& line : *lines) absl::StrAppend(&plan, name, "\t", line, "\n");
    }
  }
  return plan;
}

absl::StatusOr<ReloadStep> PlanStep(Tunnel* tunnel, config::Tunnel next) {
  const std::string name = next.name;
  ReloadStep step;
  step.tunnel = tunnel;
  step.difference = config::FindDifference(tunnel->config(), next);
  if (!step.difference.refused.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "tunnel ", name,
        " cannot take this while it is up: ", absl::StrJoin(step.difference.refused, "; "),
        "; nothing was changed: `cipectl down ", name, "`, then `cipectl up ", name, "`"));
  }
  if (tunnel->config().classic.has_value()) return step;  // unchanged
  CIPE_ASSIGN_OR_RETURN(step.identities, IdentitiesOf(next));
  CIPE_ASSIGN_OR_RETURN(step.drift, tunnel->Drift());
  CIPE_RETURN_IF_ERROR(tunnel->CheckRoutes(next));
  CIPE_ASSIGN_OR_RETURN(step.change, tunnel->Prepare(std::move(next)));
  return step;
}

ipc::TunnelChange DescribeChange(const ReloadStep& step, uint64_t number) {
  const Tunnel& tunnel = *step.tunnel;
  const config::Tunnel& config = tunnel.config();
  ipc::TunnelChange change;
  change.tunnel = tunnel.id();
  change.number = number;
  static_cast<config::TunnelOptions&>(change.config) = config;
  if (config.private_key.has_value()) change.config.private_key = config.private_key->Clone();
  std::vector<bool> told(config.peers.size(), step.difference.private_key);
  for (const size_t i : step.difference.added) told[i] = true;
  for (const config::KeptPeer& kept : step.difference.kept) {
    if (kept.changed) told[kept.after] = true;
  }
  for (size_t i = 0; i < told.size(); ++i) {
    change.all.push_back(tunnel.peers[i].peer);
    if (!told[i]) continue;
    change.config.peers.push_back(config.peers[i].Clone());
    change.peers.push_back(tunnel.peers[i]);
  }
  change.mtu = tunnel.mtu();
  change.listen_port = tunnel.listen_port();
  if (step.change.udp.has_value()) tunnel.LendPorts(&change);
  return change;
}

}  // namespace cipe::broker
