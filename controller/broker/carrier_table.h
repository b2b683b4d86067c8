// The carriers in use, one per interface that our program is attached to, counted by their tunnels.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "broker/carrier.h"
#include "broker/handover.h"

namespace cipe::broker {

class CarrierTable {
 public:
  // `announce` tells the engine of new sockets (and of carriers that went away).
  using Announce = std::function<void(ipc::Message)>;
  CarrierTable(const steering::MapSet& maps, Announce announce)
      : maps_(maps), announce_(std::move(announce)) {}

  // The carrier at this interface, attached and announced when it is new, with one user more. Null
  // is never returned; the error is the reason for rung 3.
  absl::StatusOr<const Carrier*> Acquire(const netlink::Link& link);
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

  // After an engine's death: new sockets for the next one. A carrier whose sockets cannot be made
  // again is logged and stays without: the kernel's road carries its frames.
  void Reannounce();

  // By interface index; null when our program is not there.
  const Carrier* Find(int ifindex) const;
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
  const steering::MapSet& maps_;
  Announce announce_;
  std::map<ipc::CarrierId, Carrier> carriers_;
  ipc::CarrierId next_id_ = 1;
};

}  // namespace cipe::broker
