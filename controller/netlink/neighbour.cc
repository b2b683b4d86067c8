#include "netlink/neighbour.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::netlink {

bool Neighbour::usable() const {
  constexpr uint16_t kValid =
      NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
  return mac.has_value() && (state & kValid) != 0;
}

std::optional<Neighbour> ParseNeighbour(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) return std::nullopt;
  absl::Span<const uint8_t> rest;
  const auto header = SplitMessage<ndmsg>(message, &rest);
  if (!header || (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)) {
    return std::nullopt;
  }
  const Attributes a(rest, NDA_LLADDR);
  const auto address = a.Address(NDA_DST);
  if (!address || ToAf(address->family) != header->ndm_family) return std::nullopt;
  Neighbour out;
  out.ifindex = header->ndm_ifindex;
  out.address = *address;
  out.state = header->ndm_state;
  const absl::Span<const uint8_t> mac = a.Bytes(NDA_LLADDR);
  // An entry being resolved may carry a stale or zero address.
  if (mac.size() == 6 && (out.state & (NUD_INCOMPLETE | NUD_FAILED)) == 0) {
    out.mac.emplace();
    std::copy(mac.begin(), mac.end(), out.mac->begin());
  }
  return out;
}

absl::StatusOr<std::optional<Neighbour>> FindNeighbour(Socket* socket, int ifindex,
                                                       const IpAddress& address) {
  ndmsg header{};
  header.ndm_family = ToAf(address.family);
  header.ndm_ifindex = ifindex;
  Message message(RTM_GETNEIGH, 0);
  message.PutHeader(header);
  message.PutAddress(NDA_DST, address);
  std::optional<Neighbour> found;
  const absl::Status status = socket->Get(
      &message, absl::StrCat("neighbour ", address.ToString(), " on interface ", ifindex),
      [&](const nlmsghdr& m) { found = ParseNeighbour(m); });
  if (absl::IsNotFound(status)) return std::optional<Neighbour>();
  if (!status.ok()) return status;
  return found;
}

absl::StatusOr<std::vector<Neighbour>> ListNeighbours(Socket* socket, int ifindex) {
  Message message(RTM_GETNEIGH, 0);
  message.PutHeader(ndmsg{});
  std::vector<Neighbour> neighbours;
  CIPE_RETURN_IF_ERROR(socket->Dump(&message, "list neighbours", [&](const nlmsghdr& m) {
    const auto n = ParseNeighbour(m);
    if (n && (ifindex == 0 || n->ifindex == ifindex)) neighbours.push_back(*n);
  }));
  return neighbours;
}

}  // namespace cipe::netlink
