// The part of the broker that outlives it: time stamp floors and the list of wanted tunnels.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker.h"

namespace cipe::broker {

ipc::TunnelAdd Broker::Describe(const Tunnel& tunnel, bool takeover) const {
  ipc::TunnelAdd add = tunnel.Describe(takeover);
  for (size_t i = 0; i < add.peers.size(); ++i) {
    add.peers[i].floor = floors_.Of(tunnel.identities[i]);
  }
  return add;
}

void Broker::Handle(const ipc::FloorUpdate& m) {
  const Identities* found = WhoIs(m.tunnel, m.peer);
  if (found == nullptr) return Answer(m.request, absl::NotFoundError("no such tunnel or peer"));
  const Identities& who = *found;
  const bool changed = floors_.Update(who, m.floor, m.request != 0);
  if (m.request == 0) {
    if (changed) floor_writer_->Changed(nullptr).IgnoreError();  // cannot fail without a question
    return;
  }
  const absl::Status status = floor_writer_->Changed(
      [this, request = m.request, id = m.tunnel, engine = engines_, own = who.own,
       use = floors_.UseOf(who.own), reserved = m.floor.sent_reserved](absl::Status written) {
        if (written.ok()) floors_.Reserved(own, use, reserved);
        if (engine == engines_) Answer(request, written, id);
      });
  if (!status.ok()) Answer(m.request, status, m.tunnel);
}

// In memory as on disk: nothing has changed when it fails.
absl::Status Broker::AddWanted(const std::string& name) {
  if (std::find(wanted_.begin(), wanted_.end(), name) != wanted_.end()) return absl::OkStatus();
  std::vector<std::string> wanted = wanted_;
  wanted.push_back(name);
  CIPE_RETURN_IF_ERROR(state_.SaveWanted(wanted));
  wanted_ = std::move(wanted);
  return absl::OkStatus();
}

absl::Status Broker::RemoveWanted(const std::string& name) {
  std::vector<std::string> wanted = wanted_;
  if (std::erase(wanted, name) == 0) {
    return absl::NotFoundError(absl::StrCat("tunnel ", name, " is not up"));
  }
  CIPE_RETURN_IF_ERROR(state_.SaveWanted(wanted));
  wanted_ = std::move(wanted);
  return absl::OkStatus();
}

void Broker::BringBackWanted() {
  for (const std::string& name : wanted_) {
    if (ByName(name) != nullptr) continue;  // taken over from the last daemon
    Up(name, /*strict=*/false, [name](const absl::StatusOr<ipc::TunnelId>& id) {
      if (id.ok()) return;
      Log(Severity::kError, "cannot bring ", name, " up again: ", id.status().message());
    });
  }
}

}  // namespace cipe::broker
