#include "broker/source_watch.h"

#include <set>

#include "base/log.h"
#include "netlink/address.h"
#include "netlink/route.h"

namespace cipe::broker {

int SourceWatch::Way(const Used& used) const {
  const Endpoint& remote = used.path.remote;
  const auto route = netlink::LookupRoute(socket_, remote.address, used.mark,
                                          static_cast<int>(remote.scope_id), used.path.local);
  return route.ok() ? route->ifindex : 0;
}

void SourceWatch::Use(const ipc::PathUsed& path, uint32_t mark) {
  const auto key = std::make_pair(path.tunnel, path.peer);
  if (!path.remote.is_set() || !path.local.is_set() ||
      path.local.family != path.remote.address.family) {
    used_.erase(key);
    return;
  }
  if (!used_.contains(key) && used_.size() >= kMost) return;
  Used used{path, mark, 0};
  used.ifindex = Way(used);
  used_[key] = used;
}

void SourceWatch::Refresh() {
  if (used_.empty()) return;
  const auto addresses = netlink::ListAddresses(socket_);
  if (!addresses.ok()) {
    return Log(Severity::kError, "addresses of this host: ", addresses.status().message());
  }
  std::set<IpAddress> all;
  std::set<std::pair<int, IpAddress>> on;
  for (const netlink::InterfaceAddress& a : *addresses) {
    all.insert(a.prefix.address);
    on.insert({a.ifindex, a.prefix.address});
  }
  for (auto it = used_.begin(); it != used_.end();) {
    Used& used = it->second;
    const ipc::PathUsed& path = used.path;
    bool gone = !all.contains(path.local);
    if (!gone) {
      const int way = Way(used);
      // No way at all may be a matter of a moment; the way before counts until there is one.
      gone =
          way != 0 && used.ifindex != 0 && way != used.ifindex && !on.contains({way, path.local});
      if (way != 0) used.ifindex = way;
    }
    if (gone) announce_(ipc::SourceGone{path.tunnel, path.peer, path.remote, path.local});
    it = gone ? used_.erase(it) : std::next(it);
  }
}

void SourceWatch::Forget(ipc::TunnelId tunnel) {
  std::erase_if(used_, [&](const auto& entry) { return entry.first.first == tunnel; });
}

}  // namespace cipe::broker
