// Answers "where do frames to this endpoint go first" and says so again whenever it changes, for
// the endpoints the engine asked for.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "broker/carrier_table.h"
#include "ipc/messages.h"
#include "netlink/socket.h"

namespace cipe::broker {

class NextHops {
 public:
  static constexpr size_t kMost = 65536;  // CIPE_MAX_PEERS: one endpoint each

  using Announce = std::function<void(ipc::Message)>;
  NextHops(netlink::Socket* socket, const CarrierTable& carriers, Announce announce)
      : socket_(socket), carriers_(carriers), announce_(std::move(announce)) {}

  // Answers at once and follows the endpoint from then on. Over the bound it only answers "not
  // usable": the engine then sends through the kernel.
  void Want(ipc::TunnelId tunnel, uint32_t fwmark, const Endpoint& endpoint);
  // Looks again at all of them and tells what changed.
  void Refresh();
  // Only at those whose path MTU is below their carrier's: learned ones expire without an event.
  void RefreshNarrow();
  // The tunnel's packets carry another mark now: its endpoints are looked at with that.
  void SetMark(ipc::TunnelId tunnel, uint32_t fwmark);
  void Forget(ipc::TunnelId tunnel);
  void ForgetAll() { wanted_.clear(); }
  size_t size() const { return wanted_.size(); }

 private:
  struct Wanted {
    uint32_t fwmark = 0;
    ipc::NextHop told;
    bool narrow = false;
  };
  void RefreshOne(const Endpoint& endpoint, Wanted* wanted);
  Wanted Ask(const Endpoint& endpoint, uint32_t fwmark) const;

  netlink::Socket* socket_;
  const CarrierTable& carriers_;
  Announce announce_;
  std::map<std::pair<ipc::TunnelId, Endpoint>, Wanted> wanted_;
};

}  // namespace cipe::broker
