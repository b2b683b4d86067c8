// The part of the broker that outlives it: time stamp floors and the list of wanted tunnels.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "broker/broker.h"

namespace cipe::broker {
namespace {

// Between two tries to bring back a tunnel that is wanted, doubled each time.
constexpr Duration kFirstRetry = std::chrono::seconds(1);
constexpr Duration kLastRetry = std::chrono::seconds(60);

}  // namespace

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
  for (const std::string& name : std::vector<std::string>(wanted_)) {
    BringBack(name, kFirstRetry, /*trouble=*/"");
  }
}

// What stands in the way may go by itself: a killed daemon's engine that still holds port and
// netdev, an address that somebody has for a while, a file that is being edited. `trouble` was
// logged already.
void Broker::BringBack(const std::string& name, Duration pause, const std::string& trouble) {
  // Taken over from the last daemon, or said otherwise meanwhile.
  if (stopped_ || !IsWanted(name) || ByName(name) != nullptr) return;
  Up(name, /*strict=*/false, [=, this](const absl::StatusOr<ipc::TunnelId>& id) {
    if (id.ok()) return;
    const std::string why(id.status().message());
    if (why != trouble) {
      Log(Severity::kError, "cannot bring ", name, " up again: ", why,
          "; tried again until it is up or `cipectl down ", name, "` is said");
    }
    TimerId& timer = remake_timers_[name];
    loop_.Cancel(timer);
    timer = loop_.After(pause, [=, this] {
      remake_timers_.erase(name);
      BringBack(name, std::min<Duration>(2 * pause, kLastRetry), why);
    });
  });
}

}  // namespace cipe::broker
