// A tunnel whose netdev was deleted by somebody else comes up anew.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "broker/broker.h"
#include "broker/tunnel_plan.h"

namespace cipe::broker {
namespace {

constexpr auto kRemakeAgain = std::chrono::seconds(10);

}  // namespace

bool Broker::IsWanted(const std::string& name) const {
  return std::find(wanted_.begin(), wanted_.end(), name) != wanted_.end();
}

// Everything the tunnel had goes first, sessions included: addresses, routes and queues went with
// the netdev, and one road back that is walked every day is better than a second one for this.
void Broker::OnLinkGone(int ifindex) {
  const auto found = std::find_if(tunnels_.begin(), tunnels_.end(), [&](const auto& entry) {
    return entry.second->ifindex() == ifindex && entry.second->NetdevGone();
  });
  if (found == tunnels_.end()) return;
  const auto& [id, tunnel] = *found;
  tunnel->ForgetNetdev();
  if (removals_.contains(id) || lowering_.contains(id)) return;  // it goes down anyway
  Log(Severity::kWarning, "tunnel ", tunnel->config().name,
      ": its interface was deleted by somebody else and is made anew; `cipectl down ",
      tunnel->config().name, "` takes a tunnel down");
  const ipc::TunnelId gone = id;
  BeginRemoval(gone).remake = true;
  if (!supervisor_->running()) FinishRemoval(gone);
}

// As it was started, whatever its file says by now.
void Broker::Remake(std::shared_ptr<const config::Tunnel> config) {
  const std::string& name = config->name;
  // `down` may have been said meanwhile, and `up` after it.
  if (stopped_ || !IsWanted(name) || ByName(name) != nullptr) return;
  if (raising_.contains(name)) return;
  Raise(config, /*strict=*/false, [this, config](const absl::StatusOr<ipc::TunnelId>& id) {
    if (id.ok()) return;
    Log(Severity::kError, "tunnel ", config->name,
        " is down: its interface was deleted and cannot be made anew: ", id.status().message(),
        "; next try in 10 s");
    TimerId& timer = remake_timers_[config->name];
    loop_.Cancel(timer);
    timer = loop_.After(kRemakeAgain, [this, config] {
      remake_timers_.erase(config->name);
      Remake(config);
    });
  });
}

}  // namespace cipe::broker
