#include "netlink/next_hop.h"

#include "base/status_macros.h"
#include "netlink/neighbour.h"
#include "netlink/route.h"

namespace cipe::netlink {

absl::StatusOr<NextHop> ResolveNextHop(Socket* socket, const IpAddress& destination, uint32_t mark,
                                       uint32_t scope_id) {
  CIPE_ASSIGN_OR_RETURN(const RouteLookup route,
                        LookupRoute(socket, destination, mark, static_cast<int>(scope_id)));
  CIPE_ASSIGN_OR_RETURN(const Link link, GetLink(socket, route.ifindex));
  NextHop out;
  out.ifindex = route.ifindex;
  out.source = route.preferred_source.value_or(IpAddress());
  out.next_hop = route.gateway.value_or(destination);
  out.mtu = route.mtu != 0 ? route.mtu : link.mtu;
  out.local = route.local;
  if (!link.mac || route.local) return out;
  CIPE_ASSIGN_OR_RETURN(const std::optional<Neighbour> neighbour,
                        FindNeighbour(socket, route.ifindex, out.next_hop));
  if (neighbour && neighbour->usable()) out.mac = neighbour->mac;
  return out;
}

}  // namespace cipe::netlink
