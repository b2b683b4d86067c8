#include "netlink/address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::netlink {
namespace {

ifaddrmsg Header(int ifindex, const IpPrefix& prefix) {
  ifaddrmsg header{};
  header.ifa_family = ToAf(prefix.address.family);
  header.ifa_prefixlen = static_cast<uint8_t>(prefix.length);
  header.ifa_index = static_cast<uint32_t>(ifindex);
  return header;
}

absl::Status Change(Socket* socket, uint16_t type, uint16_t flags, int ifindex,
                    const IpPrefix& prefix, absl::string_view verb) {
  const std::string what =
      absl::StrCat(verb, " address ", prefix.ToString(), " on interface ", ifindex);
  if (!prefix.address.is_set()) return absl::InvalidArgumentError(absl::StrCat(what, ": not set"));
  ifaddrmsg header = Header(ifindex, prefix);
  if (type == RTM_NEWADDR && prefix.address.is_v6()) header.ifa_flags = IFA_F_NODAD;
  Message message(type, flags);
  message.PutHeader(header);
  message.PutAddress(IFA_LOCAL, prefix.address);
  message.PutAddress(IFA_ADDRESS, prefix.address);
  return socket->Request(&message, what);
}

absl::Status ChangePair(Socket* socket, uint16_t type, int ifindex, const IpAddress& local,
                        const IpAddress& peer, uint32_t metric) {
  const bool add = type == RTM_NEWADDR;
  const std::string what = absl::StrCat(add ? "add" : "remove", " address ", local.ToString(),
                                        " peer ", peer.ToString(), " on interface ", ifindex);
  if (!local.is_v4() || !peer.is_v4()) return absl::InvalidArgumentError(what + ": not IPv4");
  Message message(type, add ? NLM_F_CREATE | NLM_F_EXCL : 0);
  message.PutHeader(Header(ifindex, {peer, 32}));
  message.PutAddress(IFA_LOCAL, local);
  message.PutAddress(IFA_ADDRESS, peer);
  if (metric > 0) message.PutU32(IFA_RT_PRIORITY, metric);
  return socket->Request(&message, what);
}

}  // namespace

absl::Status AddAddress(Socket* socket, int ifindex, const IpPrefix& prefix) {
  return Change(socket, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, prefix, "add");
}

absl::Status AddPointToPoint(Socket* socket, int ifindex, const IpAddress& local,
                             const IpAddress& peer, uint32_t metric) {
  return ChangePair(socket, RTM_NEWADDR, ifindex, local, peer, metric);
}

absl::Status RemovePointToPoint(Socket* socket, int ifindex, const IpAddress& local,
                                const IpAddress& peer) {
  return ChangePair(socket, RTM_DELADDR, ifindex, local, peer, 0);
}

absl::Status RemoveAddress(Socket* socket, int ifindex, const IpPrefix& prefix) {
  return Change(socket, RTM_DELADDR, 0, ifindex, prefix, "remove");
}

std::optional<InterfaceAddress> ParseAddress(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWADDR && message.nlmsg_type != RTM_DELADDR) return std::nullopt;
  absl::Span<const uint8_t> rest;
  const auto header = SplitMessage<ifaddrmsg>(message, &rest);
  if (!header) return std::nullopt;
  const Attributes a(rest, IFA_FLAGS);
  // IFA_ADDRESS is the other end where IFA_LOCAL is present and differs (rtnetlink(7)).
  const auto address = a.Address(IFA_ADDRESS);
  const auto local = a.Address(IFA_LOCAL);
  const auto own = local ? local : address;
  if (!own || ToAf(own->family) != header->ifa_family || header->ifa_prefixlen > own->bits()) {
    return std::nullopt;
  }
  InterfaceAddress out;
  out.ifindex = static_cast<int>(header->ifa_index);
  out.prefix = {*own, header->ifa_prefixlen};
  if (local && address && *local != *address) out.peer = address;
  out.scope = header->ifa_scope;
  out.flags = a.U32(IFA_FLAGS).value_or(header->ifa_flags);
  return out;
}

absl::StatusOr<std::vector<InterfaceAddress>> ListAddresses(Socket* socket, int ifindex) {
  Message message(RTM_GETADDR, 0);
  ifaddrmsg header{};
  header.ifa_index = static_cast<uint32_t>(ifindex);
  message.PutHeader(header);
  std::vector<InterfaceAddress> addresses;
  CIPE_RETURN_IF_ERROR(socket->Dump(&message, "list addresses", [&](const nlmsghdr& m) {
    const auto address = ParseAddress(m);
    if (address && (ifindex == 0 || address->ifindex == ifindex)) addresses.push_back(*address);
  }));
  return addresses;
}

absl::StatusOr<std::optional<int>> FindAddress(Socket* socket, const IpAddress& address,
                                               int except_ifindex) {
  CIPE_ASSIGN_OR_RETURN(const std::vector<InterfaceAddress> all, ListAddresses(socket));
  for (const InterfaceAddress& a : all) {
    if (a.prefix.address == address && a.ifindex != except_ifindex) {
      return std::optional<int>(a.ifindex);
    }
  }
  return std::optional<int>();
}

}  // namespace cipe::netlink
