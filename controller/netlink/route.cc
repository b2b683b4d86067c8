#include "netlink/route.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::netlink {
namespace {

IpAddress Unspecified(uint8_t af) {
  IpAddress a;
  a.family = af == AF_INET ? Family::kIpv4 : Family::kIpv6;
  return a;
}

// RTA_VIA: a gateway of the other family (struct rtvia: family, then the address).
std::optional<IpAddress> Gateway(const Attributes& a) {
  if (const auto gateway = a.Address(RTA_GATEWAY)) return gateway;
  const absl::Span<const uint8_t> via = a.Bytes(RTA_VIA);
  if (via.size() == 2 + 4) return IpAddress::V4(via.data() + 2);
  if (via.size() == 2 + 16) return IpAddress::V6(via.data() + 2);
  return std::nullopt;
}

void PutGateway(Message* message, const Route& route) {
  if (route.gateway->family == route.destination.address.family) {
    message->PutAddress(RTA_GATEWAY, *route.gateway);
    return;
  }
  uint8_t via[2 + 16] = {};
  const uint16_t family = ToAf(route.gateway->family);
  std::memcpy(via, &family, sizeof family);
  std::memcpy(via + 2, route.gateway->octets.data(), route.gateway->size());
  message->Put(RTA_VIA, absl::MakeConstSpan(via, 2 + route.gateway->size()));
}

void ParseFirstHop(absl::Span<const uint8_t> hops, Route* route) {
  rtnexthop hop;
  if (hops.size() < sizeof hop) return;
  std::memcpy(&hop, hops.data(), sizeof hop);
  if (hop.rtnh_len < sizeof hop || hop.rtnh_len > hops.size()) return;
  route->ifindex = hop.rtnh_ifindex;
  route->gateway =
      Gateway(Attributes(hops.subspan(sizeof hop, hop.rtnh_len - sizeof hop), RTA_VIA));
}

rtmsg Header(const Route& route) {
  rtmsg header{};
  header.rtm_family = ToAf(route.destination.address.family);
  header.rtm_dst_len = static_cast<uint8_t>(route.destination.length);
  if (route.table < 256) header.rtm_table = static_cast<uint8_t>(route.table);
  header.rtm_protocol = route.protocol;
  header.rtm_type = route.type;
  const bool on_link = route.type == RTN_UNICAST && !route.gateway;
  header.rtm_scope = on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  return header;
}

void PutCommon(Message* message, const Route& route) {
  message->PutAddress(RTA_DST, route.destination.Masked().address);
  message->PutU32(RTA_TABLE, route.table);
  if (route.metric != 0) message->PutU32(RTA_PRIORITY, route.metric);
  if (route.ifindex != 0) message->PutU32(RTA_OIF, static_cast<uint32_t>(route.ifindex));
}

absl::Status CheckRoute(const Route& route) {
  const IpPrefix& d = route.destination;
  if (d.address.is_set() && d.length >= 0 && d.length <= d.address.bits()) return absl::OkStatus();
  return absl::InvalidArgumentError("route: destination is not set");
}

}  // namespace

std::string Route::ToString() const {
  std::string text = destination.ToString();
  if (type != RTN_UNICAST) absl::StrAppend(&text, " type ", type);
  if (gateway) absl::StrAppend(&text, " via ", gateway->ToString());
  if (ifindex != 0) absl::StrAppend(&text, " dev ", ifindex);
  absl::StrAppend(&text, " table ", table);
  if (metric != 0) absl::StrAppend(&text, " metric ", metric);
  return text;
}

absl::Status AddRoute(Socket* socket, const Route& route) {
  CIPE_RETURN_IF_ERROR(CheckRoute(route));
  Message message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  message.PutHeader(Header(route));
  PutCommon(&message, route);
  if (route.gateway) PutGateway(&message, route);
  if (route.preferred_source) message.PutAddress(RTA_PREFSRC, *route.preferred_source);
  if (route.mtu != 0) {
    const size_t metrics = message.NestStart(RTA_METRICS);
    message.PutU32(RTAX_MTU, route.mtu);
    message.NestEnd(metrics);
  }
  return socket->Request(&message, absl::StrCat("add route ", route.ToString()));
}

absl::Status RemoveRoute(Socket* socket, const Route& route) {
  CIPE_RETURN_IF_ERROR(CheckRoute(route));
  rtmsg header = Header(route);
  header.rtm_scope = RT_SCOPE_NOWHERE;  // any scope (IPv4; IPv6 has none)
  Message message(RTM_DELROUTE, 0);
  message.PutHeader(header);
  PutCommon(&message, route);
  return socket->Request(&message, absl::StrCat("remove route ", route.ToString()));
}

std::optional<Route> ParseRoute(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWROUTE && message.nlmsg_type != RTM_DELROUTE) return std::nullopt;
  absl::Span<const uint8_t> rest;
  const auto header = SplitMessage<rtmsg>(message, &rest);
  if (!header || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) {
    return std::nullopt;
  }
  const Attributes a(rest, RTA_VIA);
  const IpAddress any = Unspecified(header->rtm_family);
  Route route;
  route.destination = {a.Address(RTA_DST).value_or(any), header->rtm_dst_len};
  if (route.destination.address.family != any.family || header->rtm_dst_len > any.bits()) {
    return std::nullopt;
  }
  route.ifindex = static_cast<int>(a.U32(RTA_OIF).value_or(0));
  route.gateway = Gateway(a);
  if (a.Has(RTA_MULTIPATH)) ParseFirstHop(a.Bytes(RTA_MULTIPATH), &route);
  route.preferred_source = a.Address(RTA_PREFSRC);
  route.table = a.U32(RTA_TABLE).value_or(header->rtm_table);
  route.metric = a.U32(RTA_PRIORITY).value_or(0);
  route.protocol = header->rtm_protocol;
  route.type = header->rtm_type;
  route.mtu = a.Nested(RTA_METRICS, RTAX_MTU).U32(RTAX_MTU).value_or(0);
  route.cached = header->rtm_flags & RTM_F_CLONED;
  // The expiry of an IPv6 route that is no exception is a router advertisement's.
  rta_cacheinfo cache{};
  if (const auto bytes = a.Bytes(RTA_CACHEINFO); bytes.size() >= sizeof cache) {
    std::memcpy(&cache, bytes.data(), sizeof cache);
    route.mtu_learned = route.mtu != 0 && route.cached && cache.rta_expires != 0;
  }
  return route;
}

absl::StatusOr<std::vector<Route>> ListRoutes(Socket* socket, const RouteFilter& filter) {
  std::vector<Route> routes;
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    if (filter.family != Family::kNone && filter.family != family) continue;
    // Filtered here and not by the kernel: a table that does not exist would be an error there.
    rtmsg header{};
    header.rtm_family = ToAf(family);
    header.rtm_protocol = filter.protocol;  // whoever has a full table need not hand it over
    Message message(RTM_GETROUTE, 0);
    message.PutHeader(header);
    CIPE_RETURN_IF_ERROR(socket->Dump(&message, "list routes", [&](const nlmsghdr& m) {
      const auto r = ParseRoute(m);
      if (!r || r->cached) return;
      if (filter.protocol != 0 && r->protocol != filter.protocol) return;
      if (filter.ifindex != 0 && r->ifindex != filter.ifindex) return;
      if (filter.table != 0 && r->table != filter.table) return;
      routes.push_back(*r);
    }));
  }
  return routes;
}

absl::StatusOr<RouteLookup> LookupRoute(Socket* socket, const IpAddress& destination, uint32_t mark,
                                        int oif, const IpAddress& source) {
  const std::string what = absl::StrCat("route to ", destination.ToString());
  if (!destination.is_set()) return absl::InvalidArgumentError(what);
  rtmsg header{};
  header.rtm_family = ToAf(destination.family);
  header.rtm_dst_len = static_cast<uint8_t>(destination.bits());
  if (source.is_set()) header.rtm_src_len = static_cast<uint8_t>(source.bits());
  Message message(RTM_GETROUTE, 0);
  message.PutHeader(header);
  if (source.is_set()) message.PutAddress(RTA_SRC, source);
  message.PutAddress(RTA_DST, destination);
  if (mark != 0) message.PutU32(RTA_MARK, mark);
  if (oif != 0) message.PutU32(RTA_OIF, static_cast<uint32_t>(oif));
  std::optional<Route> route;
  CIPE_RETURN_IF_ERROR(
      socket->Get(&message, what, [&](const nlmsghdr& m) { route = ParseRoute(m); }));
  if (!route) return absl::InternalError(absl::StrCat(what, ": answer not understood"));
  // IPv6 answers with the reject route itself where IPv4 answers with an error.
  if (route->type != RTN_UNICAST && route->type != RTN_LOCAL) {
    return absl::UnavailableError(
        absl::StrCat(what, ": only a reject route (type ", route->type, ")"));
  }
  return RouteLookup{route->ifindex, route->gateway,           route->preferred_source,
                     route->mtu,     route->type == RTN_LOCAL, route->mtu_learned};
}

absl::StatusOr<Route> DefaultRoute(Socket* socket, Family family) {
  RouteFilter filter;
  filter.family = family;
  filter.table = RT_TABLE_MAIN;
  CIPE_ASSIGN_OR_RETURN(const std::vector<Route> routes, ListRoutes(socket, filter));
  const Route* best = nullptr;
  for (const Route& r : routes) {
    if (r.destination.length != 0 || r.type != RTN_UNICAST || r.ifindex == 0) continue;
    if (best == nullptr || r.metric < best->metric) best = &r;
  }
  if (best == nullptr) return absl::NotFoundError("default route: none in the main table");
  return *best;
}

}  // namespace cipe::netlink
