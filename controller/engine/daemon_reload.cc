// Reload as the engine's process sees it: the client that asks, and the change the broker sends.
#include <malloc.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "engine/daemon.h"
#include "ipc/memfd.h"

namespace cipe::engine {
namespace {

// A line per changed prefix at worst.
constexpr size_t kMaxPlan = control::kMaxReplySize / 2;

absl::StatusOr<std::string> ReadPlan(const UniqueFd& fd) {
  if (!fd.valid()) return std::string();
  CIPE_ASSIGN_OR_RETURN(const size_t size, ipc::CheckSealedMemfd(fd.get(), kMaxPlan));
  std::string text(size, '\0');
  CIPE_RETURN_IF_ERROR(ipc::TakeFromMemfd(
      fd.get(), absl::MakeSpan(reinterpret_cast<uint8_t*>(text.data()), text.size())));
  return text;
}

// [{"tunnel": "site-a", "changes": ["Rekey: 120 -> 60"]}]; a line without a change is a tunnel that
// was looked at.
control::Json PlanJson(const std::string& text) {
  control::Json tunnels = control::Json::array();
  control::Json changes = control::Json::array();
  std::string name;
  const auto finish = [&] {
    if (name.empty()) return;
    tunnels.push_back({{"tunnel", name}, {"changes", std::move(changes)}});
    changes = control::Json::array();
  };
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> words =
        absl::StrSplit(line, absl::MaxSplits('\t', 1));
    if (words.second.empty()) {
      finish();
      name = words.first;
    } else {
      changes.push_back(words.second);
    }
  }
  finish();
  return tunnels;
}

}  // namespace

void Daemon::AskReload(const control::Request& request, control::Responder responder) {
  const uint64_t id = next_request_++;
  reloads_[id] = Reload{request.dry_run, std::move(responder)};
  Tell(ipc::ReloadRequest{id, request.name, request.dry_run});
}

void Daemon::On(ipc::ReloadAnswer& answer) {
  const auto it = reloads_.find(answer.request);
  if (it == reloads_.end()) return;
  Reload reload = std::move(it->second);
  reloads_.erase(it);
  if (!answer.status.ok()) return reload.responder.Fail(answer.status);
  const absl::StatusOr<std::string> plan = ReadPlan(answer.plan);
  if (!plan.ok()) return reload.responder.Fail(plan.status());
  reload.responder.Ok({{"dry_run", reload.dry_run}, {"tunnels", PlanJson(*plan)}});
}

// The netdev's queues hold what is sent meanwhile; what comes to the old port is lost with it, so
// peers hear at once from the new one.
absl::Status Daemon::MovePort(ipc::TunnelChange& change) {
  Tunnel* tunnel = engine_->FindTunnel(change.tunnel);
  if (tunnel == nullptr) return absl::NotFoundError("no such tunnel");
  plane_->RemoveTunnel(change.tunnel);
  engine_->SetListenPort(change.tunnel, change.listen_port);
  dataplane::TunnelPorts ports;
  ports.path = &tunnel->path;
  ports.tun = std::move(change.tun);
  ports.udp4 = std::move(change.udp4);
  ports.udp6 = std::move(change.udp6);
  ports.tso = change.tso;
  ports.uso = change.uso;
  ports.afxdp = tunnel->datapath.afxdp_tx;
  CIPE_RETURN_IF_ERROR(plane_->AddTunnel(std::move(ports)));
  engine_->SendKeepalives(change.tunnel);
  return absl::OkStatus();
}

void Daemon::TrimSoon() {
  if (trim_ != TimerId::kNone) return;
  trim_ = loop_->After(std::chrono::seconds(1), [this] {
    trim_ = TimerId::kNone;
    malloc_trim(0);
  });
}

void Daemon::On(ipc::TunnelChange& change) {
  TrimSoon();
  absl::Status status;
  if (change.udp4.valid() || change.udp6.valid()) status = MovePort(change);
  if (status.ok()) status = engine_->ChangeTunnel(change);
  if (!status.ok()) Log(Severity::kError, "tunnel ", change.tunnel, ": ", status.ToString());
  CheckWaiters(change.tunnel, false);
  Tell(ipc::TunnelChanged{change.tunnel, change.number, status});
}

}  // namespace cipe::engine
