// AF_XDP sockets that the broker offers: mapped here while they are unbound, used once it has bound
// them.
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "engine/daemon.h"

namespace cipe::engine {
namespace {

absl::StatusOr<std::vector<std::unique_ptr<dataplane::XskQueue>>> MapAll(ipc::CarrierAdd& add) {
  std::vector<std::unique_ptr<dataplane::XskQueue>> queues;
  for (ipc::CarrierQueue& q : add.queues) {
    xsk::UmemLayout layout;
    layout.frame_size = q.chunk_size;
    layout.frame_count = q.chunks;
    CIPE_ASSIGN_OR_RETURN(auto queue,
                          dataplane::XskQueue::Create(std::move(q.xsk), std::move(q.umem), layout));
    queues.push_back(std::move(queue));
  }
  return queues;
}

}  // namespace

// All queues or none: a queue without us would take frames that nobody reads.
void Daemon::On(ipc::CarrierAdd& add) {
  CarrierInfo& info = carriers_[add.carrier];
  info.name = add.name;
  info.mtu = add.mtu;
  auto queues = MapAll(add);
  if (queues.ok()) info.mapped = *std::move(queues);
  Tell(ipc::CarrierMapped{add.carrier, queues.status()});
}

void Daemon::On(ipc::CarrierReady& ready) {
  const auto it = carriers_.find(ready.carrier);
  if (it == carriers_.end()) return;  // it failed before anything was offered
  CarrierInfo& info = it->second;
  auto queues = std::exchange(info.mapped, {});
  info.reason = std::string(ready.status.message());
  if (!ready.status.ok()) return;
  info.zero_copy = ready.zero_copy;
  info.queues = static_cast<uint32_t>(queues.size());
  plane_->AddCarrier(ready.carrier, info.mtu, std::move(queues));
}

void Daemon::On(ipc::CarrierRemove& remove) {
  plane_->RemoveCarrier(remove.carrier);
  carriers_.erase(remove.carrier);
}

}  // namespace cipe::engine
