// Reload: all files are read and checked first, then netdevs and routes follow, then the engine is
// told. What fails before the last of these changes nothing.
#include "broker/reload.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/counted.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker.h"
#include "config/config.h"
#include "ipc/memfd.h"

namespace cipe::broker {

// One at a time, in the order they were asked for.
void Broker::Handle(const ipc::ReloadRequest& m) {
  reloads_asked_.push_back(m);
  if (reload_ == nullptr) NextReload();
}

void Broker::NextReload() {
  while (reload_ == nullptr && !reloads_asked_.empty()) {
    const ipc::ReloadRequest request = std::move(reloads_asked_.front());
    reloads_asked_.pop_front();
    absl::StatusOr<std::unique_ptr<Reload>> reload = PlanReload(request.name);
    if (!reload.ok() || request.dry_run) {
      AnswerReload(request.request, reload.status(), reload.ok() ? (*reload)->Plan() : "");
      continue;
    }
    (*reload)->request = request.request;
    const absl::Status status = ExchangeAll(reload->get());
    if (!status.ok()) {
      AnswerReload(request.request, status, "");
      continue;
    }
    reload_ = *std::move(reload);
    reload_->plan = reload_->Plan();
    for (ReloadStep& step : std::exchange(reload_->steps, {})) {
      if (!step.nothing()) CommitStep(&step);
    }
    EndReloadWhenTaken();
  }
}

absl::StatusOr<std::unique_ptr<Reload>> Broker::PlanReload(const std::string& name) {
  auto reload = std::make_unique<Reload>();
  std::vector<config::Tunnel> files;
  std::vector<Tunnel*> tunnels;
  std::vector<const config::Tunnel*> all;
  for (const auto& [id, tunnel] : tunnels_) {
    if (removals_.contains(id) || lowering_.contains(id) ||
        (!name.empty() && tunnel->config().name != name)) {
      all.push_back(&tunnel->config());
      continue;
    }
    CIPE_ASSIGN_OR_RETURN(config::Tunnel file,
                          classic_->Load(options_.config_dir, tunnel->config().name));
    tunnels.push_back(tunnel.get());
    files.push_back(std::move(file));
  }
  if (tunnels.empty() && !name.empty()) {
    return absl::NotFoundError(
        absl::StrCat("tunnel ", name, " is not up; `cipectl up ", name, "` brings it up"));
  }
  for (const config::Tunnel& file : files) all.push_back(&file);
  CIPE_RETURN_IF_ERROR(config::CheckAcross(absl::MakeConstSpan(all)));
  for (size_t i = 0; i < files.size(); ++i) {
    CIPE_ASSIGN_OR_RETURN(ReloadStep step, PlanStep(tunnels[i], std::move(files[i])));
    reload->steps.push_back(std::move(step));
  }
  return reload;
}

// All or none.
absl::Status Broker::ExchangeAll(Reload* reload) {
  for (size_t i = 0; i < reload->steps.size(); ++i) {
    ReloadStep& step = reload->steps[i];
    if (step.nothing()) continue;
    const absl::Status status = step.tunnel->Exchange(&step.change);
    if (status.ok()) continue;
    while (i-- > 0) {
      ReloadStep& before = reload->steps[i];
      if (before.nothing()) continue;
      const absl::Status undone = before.tunnel->Exchange(&before.change);
      if (!undone.ok()) Log(Severity::kError, "reload, going back: ", undone.message());
    }
    return status;
  }
  return absl::OkStatus();
}

// Netdev and routes are as the file says: so are the peers from here on.
void Broker::CommitStep(ReloadStep* step) {
  Tunnel& tunnel = *step->tunnel;
  Leaving leaving{++change_number_, step->difference.private_key, {}};
  PlacePeers(*step, &leaving);
  ipc::TunnelChange change = DescribeChange(*step, leaving.number);
  for (ipc::PeerSetup& peer : change.peers) {
    peer.floor = floors_.Of(tunnel.identities[tunnel.IndexOf(peer.peer)]);
  }
  leaving_[tunnel.id()].push_back(std::move(leaving));
  next_hops_->SetMark(tunnel.id(), tunnel.fwmark());
  Log(Severity::kNotice, "tunnel ", tunnel.config().name, ": reloaded, ",
      Counted(step->difference.lines.size() + step->drift.size(), "change"));
  Tell(std::move(change));
  if (step->difference.datapath) {
    tunnel.ChooseAgain();
    TellDatapath(tunnel);
    next_hops_->Refresh();
  } else if (RevisitDatapath(tunnel)) {
    RevisitDatapaths();
  }
  SyncListeners();
}

// Ids, endpoints and identities of the peers that are there now; who lost his goes into `leaving`.
void Broker::PlacePeers(const ReloadStep& step, Leaving* leaving) {
  Tunnel& tunnel = *step.tunnel;
  const config::Tunnel& config = tunnel.config();
  const std::vector<ipc::PeerSetup> before = std::exchange(tunnel.peers, {});
  const std::vector<Identities> were = std::exchange(tunnel.identities, step.identities);
  std::vector<const config::KeptPeer*> kept(config.peers.size(), nullptr);
  for (const config::KeptPeer& peer : step.difference.kept) kept[peer.after] = &peer;
  for (size_t i = 0; i < config.peers.size(); ++i) {
    if (kept[i] == nullptr) {
      tunnel.peers.push_back(SetUpPeer(config, tunnel.identities[i]));
      floors_.Use(tunnel.identities[i]);
      continue;
    }
    const ipc::PeerSetup& setup = tunnel.peers.emplace_back(before[kept[i]->before]);
    const Identities& was = were[kept[i]->before];
    if (was == tunnel.identities[i]) continue;
    floors_.Use(tunnel.identities[i]);
    leaving->who[setup.peer] = was;
  }
  for (const size_t i : step.difference.removed) {
    endpoints_->Remove(before[i].peer);
    leaving->who[before[i].peer] = were[i];
  }
  tunnel.IndexPeers();
  // What the book says at once is in `peers` then.
  for (size_t i = 0; i < config.peers.size(); ++i) {
    ipc::PeerSetup& setup = tunnel.peers[i];
    if (kept[i] == nullptr) {
      setup.endpoint = endpoints_->Add(tunnel.id(), setup.peer, config.peers[i].endpoints);
    } else if (kept[i]->endpoints) {
      endpoints_->Change(setup.peer, config.peers[i].endpoints);
    }
  }
}

void Broker::Handle(const ipc::TunnelChanged& m) {
  if (!m.status.ok()) {
    // The next one is told all of it, and takes the sessions over.
    return supervisor_->Kill(absl::StrCat("it cannot take a change: ", m.status.message()));
  }
  const auto found = leaving_.find(m.tunnel);
  if (found == leaving_.end()) return;
  std::erase_if(found->second, [&](const Leaving& leaving) {
    if (leaving.number != m.number) return false;
    ReleaseLeaving(leaving);
    return true;
  });
  if (found->second.empty()) leaving_.erase(found);
  EndReloadWhenTaken();
}

void Broker::ReleaseLeaving(const Leaving& leaving) {
  for (const auto& [peer, who] : leaving.who) floors_.Release(who);
  floor_writer_->Changed(nullptr).IgnoreError();
}

// Of a tunnel that is going, or of an engine that is dead: what it sent last has been read.
void Broker::ReleaseAllLeaving(ipc::TunnelId id) {
  const auto found = leaving_.extract(id);
  if (found.empty()) return;
  for (const Leaving& leaving : found.mapped()) ReleaseLeaving(leaving);
}

void Broker::EndReloadWhenTaken() {
  if (reload_ == nullptr || !leaving_.empty()) return;
  const std::unique_ptr<Reload> done = std::move(reload_);
  AnswerReload(done->request, absl::OkStatus(), done->plan);
  NextReload();
}

// Whoever asked has lost his connection with the engine that died.
void Broker::ForgetReloads() {
  reloads_asked_.clear();
  reload_.reset();
  while (!leaving_.empty()) {
    const auto& [id, changes] = *leaving_.begin();
    // Whether it got as far as ending them nobody knows.
    const auto new_key = [](const Leaving& leaving) { return leaving.new_key; };
    if (std::any_of(changes.begin(), changes.end(), new_key)) WipeSessions(id);
    ReleaseAllLeaving(id);
  }
}

void Broker::AnswerReload(uint64_t request, const absl::Status& status, const std::string& plan) {
  ipc::ReloadAnswer answer{request, status, {}};
  if (!status.ok()) Log(Severity::kWarning, "reload: ", status.message());
  if (status.ok() && !plan.empty()) {
    auto fd = ipc::MemfdFromOctets(
        "cipe-plan", absl::MakeSpan(reinterpret_cast<const uint8_t*>(plan.data()), plan.size()));
    if (fd.ok()) answer.plan = *std::move(fd);
    if (!fd.ok()) Log(Severity::kError, "reload: ", fd.status().message());
  }
  Tell(std::move(answer));
  malloc_trim(0);  // two configurations were here at once
}

// Whose time stamps the engine tells.
const Identities* Broker::WhoIs(ipc::TunnelId id, ipc::PeerId peer) {
  if (const auto found = leaving_.find(id); found != leaving_.end()) {
    for (const Leaving& leaving : found->second) {
      const auto was = leaving.who.find(peer);
      if (was != leaving.who.end()) return &was->second;
    }
  }
  const Tunnel* tunnel = ById(id);
  const size_t index = tunnel == nullptr ? Tunnel::npos : tunnel->IndexOf(peer);
  return index == Tunnel::npos ? nullptr : &tunnel->identities[index];
}

}  // namespace cipe::broker
