#include "broker/path_mtu.h"

#include "netlink/link.h"
#include "netlink/route.h"

namespace cipe::broker {

ipc::PathMtuKnown LookUpPathMtu(netlink::Socket* socket, const ipc::PathMtuWanted& wanted,
                                uint32_t fwmark) {
  ipc::PathMtuKnown known{wanted.tunnel, wanted.peer, wanted.endpoint};
  const auto route = netlink::LookupRoute(socket, wanted.endpoint.address, fwmark,
                                          static_cast<int>(wanted.endpoint.scope_id));
  if (!route.ok()) return known;
  const auto link = netlink::GetLink(socket, route->ifindex);
  if (!link.ok()) return known;
  known.link = link->mtu;
  (route->mtu_learned ? known.learned : known.route) = route->mtu;
  return known;
}

}  // namespace cipe::broker
