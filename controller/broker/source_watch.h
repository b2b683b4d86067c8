// Follows the addresses of ours at which peers were heard, and from which they are answered: says
// so when one is gone, or when a better way to the peer leaves by an interface that lacks it.
// An answer that leaves by another interface from the start is somebody's plan and stays.
#pragma once

#include <functional>
#include <map>
#include <utility>

#include "ipc/messages.h"
#include "netlink/socket.h"

namespace cipe::broker {

class SourceWatch {
 public:
  static constexpr size_t kMost = 65536;  // CIPE_MAX_PEERS: one path each

  using Announce = std::function<void(ipc::Message)>;
  SourceWatch(netlink::Socket* socket, Announce announce)
      : socket_(socket), announce_(std::move(announce)) {}

  // Replaces what was known of the peer. Over the bound it is not followed.
  void Use(const ipc::PathUsed& path, uint32_t mark);
  // Links, addresses or routes changed. One SourceGone for each path that cannot go on so; it is
  // not followed after that.
  void Refresh();
  void Forget(ipc::TunnelId tunnel);
  void ForgetAll() { used_.clear(); }

 private:
  struct Used {
    ipc::PathUsed path;
    uint32_t mark = 0;
    int ifindex = 0;  // by which frames to the peer leave; 0: there is no way now
  };
  int Way(const Used& used) const;

  netlink::Socket* const socket_;
  const Announce announce_;
  std::map<std::pair<ipc::TunnelId, ipc::PeerId>, Used> used_;
};

}  // namespace cipe::broker
