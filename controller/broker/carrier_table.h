// The carriers in use, one per interface that our program is attached to, counted by their tunnels.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "base/event_loop.h"
#include "broker/carrier.h"
#include "broker/handover.h"

namespace cipe::broker {

class CarrierTable {
 public:
  // How long `up` and whoever else wants to know waits for the engine to map what it was offered.
  // After that the carrier is `late`: it still becomes ready when the engine does answer.
  static constexpr Duration kPatience = std::chrono::seconds(5);
  // How long a queue may be held by the sockets of an engine that died a moment ago.
  static constexpr Duration kBusyPatience = std::chrono::seconds(1);

  // `announce` tells the engine of new sockets (and of carriers that went away). `settled` runs, on
  // the loop, when it is known what became of a carrier: ready, failed or late; again when a late
  // one moves on.
  using Announce = std::function<void(ipc::Message)>;
  using Settled = std::function<void(ipc::CarrierId)>;
  CarrierTable(EventLoop& loop, const steering::MapSet& maps, Announce announce, Settled settled)
      : loop_(loop), maps_(maps), announce_(std::move(announce)), settled_(std::move(settled)) {}
  ~CarrierTable();
  CarrierTable(const CarrierTable&) = delete;
  CarrierTable& operator=(const CarrierTable&) = delete;

  // The carrier at this interface, attached and announced when it is new, with one user more: it
  // may be pending, or have failed. Null is never returned; the error says why no program of ours
  // can be there.
  absl::StatusOr<const Carrier*> Acquire(const netlink::Link& link);
  // What the engine said of sockets that were announced. News of what is gone already, or nobody
  // waits for, are nothing.
  void OnMapped(const ipc::CarrierMapped& answer);
  // One user less; the last one takes program and sockets along.
  void Release(ipc::CarrierId id);

  // Handing over: no frame goes to an AF_XDP socket any more; Reannounce() takes that back.
  void StopSteering();
  std::vector<CarrierHandover> Describe() const;
  // Taken over, without users yet; their sockets come with Reannounce(). A carrier that cannot be
  // had is left out: who needs it acquires it anew.
  void Adopt(netlink::Socket* socket, std::vector<CarrierHandover> carriers);
  // Those that nobody acquired after all.
  void DropUnused();

  // The engine is gone, and every socket with it.
  void OnEngineDeath();
  // New sockets for the next engine. A carrier whose sockets cannot be made again has failed: the
  // kernel's road carries its frames. Its tunnels have to look themselves.
  void Reannounce();

  // By interface index; null when our program is not there.
  const Carrier* Find(int ifindex) const;
  // Null for one that is not here any more.
  const Carrier* ById(ipc::CarrierId id) const;
  // A carrier failed on this link, which is as it was then: another try would end like the last.
  bool FailedAsItIs(const netlink::Link& link) const;
  // Follows changes of names and MAC addresses; announces the former.
  void OnLink(const netlink::Link& link);
  // The interface went away, if only into another namespace: its carrier is not found or acquired
  // any more and goes with its last user. One that comes back, even under the same index, is new.
  void OnLinkRemoved(int ifindex);
  // News were lost: looks which interfaces are still there.
  void Resync(netlink::Socket* socket);
  // Is each of these here, on an interface that has not gone?
  bool AllAlive(const std::vector<ipc::CarrierId>& ids) const;

 private:
  struct Timers {
    TimerId patience = TimerId::kNone;
    TimerId retry = TimerId::kNone;  // of a busy queue
    Instant busy_until{};
  };
  void Offer(Carrier* carrier);
  void Bind(ipc::CarrierId id);
  void Fail(Carrier* carrier, const char* cause, const absl::Status& why);
  void CancelTimers(ipc::CarrierId id);

  EventLoop& loop_;
  const steering::MapSet& maps_;
  Announce announce_;
  Settled settled_;
  std::map<ipc::CarrierId, Carrier> carriers_;
  std::map<ipc::CarrierId, Timers> timers_;
  ipc::CarrierId next_id_ = 1;
  bool steering_stopped_ = false;  // handing over: nothing may be bound
};

}  // namespace cipe::broker
