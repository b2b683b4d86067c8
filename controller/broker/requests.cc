// What cipectl asks for, with the hooks around it: a tunnel comes up, a tunnel goes down.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker.h"
#include "config/config.h"

namespace cipe::broker {

using Phase = TunnelHooks::Phase;

void Broker::Handle(const ipc::UpRequest& m) {
  const bool new_one = !IsWanted(m.name);
  Up(m.name, /*strict=*/true, [this, m, new_one](absl::StatusOr<ipc::TunnelId> id) {
    if (id.ok()) {
      // A tunnel that the next start would not bring up again is not what was asked for.
      const absl::Status saved = AddWanted(m.name);
      if (saved.ok()) return Answer(m.request, absl::OkStatus(), *id);
      if (new_one) BeginRemoval(*id);
      id = saved;
    }
    if (!IsWanted(m.name) && ByName(m.name) == nullptr) routes_->Forget(m.name);
    Log(Severity::kWarning, "up ", m.name, ": ", id.status().message());
    EndUnlessNeeded(options_.last_answer_patience);
    Answer(m.request, id.status());
  });
}

void Broker::Up(const std::string& name, bool strict, UpDone done) {
  if (const absl::Status status = config::CheckTunnelName(name); !status.ok()) return done(status);
  if (const auto raising = raising_.find(name); raising != raising_.end()) {
    return raising->second.push_back(std::move(done));  // whatever comes of that is the answer
  }
  if (Tunnel* tunnel = ByName(name); tunnel != nullptr) {
    if (removals_.contains(tunnel->id()) || lowering_.contains(tunnel->id())) {
      return done(absl::UnavailableError(absl::StrCat("tunnel ", name, " is just going down")));
    }
    const absl::Status same = UpAlready(*tunnel);
    if (!same.ok()) return done(same);
    return done(tunnel->id());
  }
  absl::StatusOr<config::Tunnel> config = classic_->Load(options_.config_dir, name);
  if (!config.ok()) return done(config.status());
  Raise(std::make_shared<const config::Tunnel>(*std::move(config)), strict, std::move(done));
}

// PreUp, the tunnel, PostUp. A PostUp that fails takes a tunnel down again which somebody asked for
// just now; one that comes back by itself stays, for its peers are better served with it.
void Broker::Raise(std::shared_ptr<const config::Tunnel> config, bool strict, UpDone done) {
  raising_[config->name].push_back(std::move(done));
  const auto finish = [this, config](const absl::StatusOr<ipc::TunnelId>& id) {
    const auto waiting = raising_.extract(config->name);
    for (const UpDone& one : waiting.mapped()) one(id);
  };
  hooks_.Run(*config, Phase::kPreUp, 0, [=, this](const absl::Status& before) {
    if (!before.ok()) return finish(before);
    const absl::StatusOr<ipc::TunnelId> id = BringUp(config->Clone());
    if (!id.ok()) return finish(id);
    const auto raised = [=, this](const absl::Status& after) {
      if (ById(*id) == nullptr) return finish(absl::AbortedError("the tunnel went down meanwhile"));
      if (after.ok()) return finish(id);
      Log(Severity::kError, "tunnel ", config->name, ": ", after.message());
      if (!strict) return finish(id);
      BeginRemoval(*id);
      finish(after);
    };
    // Who is told that it is up is told on which rung.
    WhenSettled(*id, [=, this] {
      const Tunnel* tunnel = ById(*id);
      if (tunnel == nullptr) return raised(absl::OkStatus());
      hooks_.Run(*config, Phase::kPostUp, tunnel->link_mtu(), raised);
    });
  });
}

void Broker::Handle(const ipc::DownRequest& m) {
  if (raising_.contains(m.name)) {
    return Answer(m.request,
                  absl::UnavailableError(absl::StrCat("tunnel ", m.name,
                                                      " is just coming up: its PreUp or PostUp has "
                                                      "not ended yet; try again then")));
  }
  Tunnel* tunnel = ByName(m.name);
  const absl::Status forgotten = RemoveWanted(m.name);  // NotFound: it was not wanted
  if (tunnel == nullptr) {
    if (forgotten.ok()) classic_->Forget(m.name);
    if (!IsWanted(m.name)) routes_->Forget(m.name);
    EndUnlessNeeded(options_.last_answer_patience);
    return Answer(m.request, forgotten);
  }
  const bool kept = forgotten.ok() || absl::IsNotFound(forgotten);
  Lower(tunnel->id(), kept ? m.request : 0);
  if (kept) return;
  // Who was told that it is down must not find it up after the next start.
  Answer(m.request, absl::Status(forgotten.code(),
                                 absl::StrCat("tunnel ", m.name,
                                              " goes down, but the next start of ciped would bring "
                                              "it up again: ",
                                              forgotten.message())));
}

// PreDown, then what everybody goes through (BeginRemoval, FinishRemoval, PostDown). `request` is
// answered at the end of that.
void Broker::Lower(ipc::TunnelId id, uint64_t request) {
  const auto removal = removals_.find(id);
  if (removal != removals_.end()) {
    if (request != 0) removal->second.requests.push_back(request);
    return;
  }
  const auto [lowering, first] = lowering_.try_emplace(id);
  if (request != 0) lowering->second.push_back(request);
  if (!first) return;
  const Tunnel& tunnel = *ById(id);
  hooks_.Run(tunnel.config(), Phase::kPreDown, tunnel.link_mtu(), [this, id](const absl::Status&) {
    const auto requests = lowering_.extract(id);
    if (ById(id) == nullptr || requests.empty()) return;
    Removal& begun = BeginRemoval(id);
    begun.requests.insert(begun.requests.end(), requests.mapped().begin(), requests.mapped().end());
    if (!supervisor_->running()) FinishRemoval(id);
  });
}

}  // namespace cipe::broker
