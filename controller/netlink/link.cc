#include "netlink/link.h"

#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"

namespace cipe::netlink {
namespace {

ifinfomsg Header(int index) {
  ifinfomsg info{};
  info.ifi_family = AF_UNSPEC;
  info.ifi_index = index;
  return info;
}

// Without statistics, which nobody here reads and which are most of the answer.
void SkipStatistics(Message* message) { message->PutU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS); }

absl::StatusOr<Link> GetOne(Socket* socket, Message* message, const std::string& what) {
  std::optional<Link> link;
  CIPE_RETURN_IF_ERROR(socket->Get(message, what, [&](const nlmsghdr& m) { link = ParseLink(m); }));
  if (!link) return absl::InternalError(absl::StrCat(what, ": answer not understood"));
  return *std::move(link);
}

void ParseKind(const Attributes& attributes, Link* link) {
  const Attributes info = attributes.Nested(IFLA_LINKINFO, IFLA_INFO_SLAVE_KIND);
  link->kind = info.String(IFLA_INFO_KIND);
  link->master_kind = info.String(IFLA_INFO_SLAVE_KIND);
  if (link->kind != "vlan") return;
  const Attributes vlan = info.Nested(IFLA_INFO_DATA, IFLA_VLAN_PROTOCOL);
  link->vlan_id = vlan.U16(IFLA_VLAN_ID);
  const uint16_t big_endian =
      vlan.U16(IFLA_VLAN_PROTOCOL).value_or(SwapBytes(uint16_t{ETH_P_8021Q}));
  link->vlan_protocol = SwapBytes(big_endian);
}

}  // namespace

std::optional<Link> ParseLink(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWLINK && message.nlmsg_type != RTM_DELLINK) return std::nullopt;
  absl::Span<const uint8_t> rest;
  const auto info = SplitMessage<ifinfomsg>(message, &rest);
  // A bridge speaks of its ports with family AF_BRIDGE: those are no news of the device itself.
  if (!info || info->ifi_index <= 0 || info->ifi_family != AF_UNSPEC) return std::nullopt;
  const Attributes a(rest, IFLA_XDP);
  Link link;
  link.index = info->ifi_index;
  link.name = a.String(IFLA_IFNAME);
  link.up = info->ifi_flags & IFF_UP;
  link.lower_up = info->ifi_flags & IFF_LOWER_UP;
  link.loopback = info->ifi_flags & IFF_LOOPBACK;
  link.type = info->ifi_type;
  link.mtu = a.U32(IFLA_MTU).value_or(0);
  const absl::Span<const uint8_t> mac = a.Bytes(IFLA_ADDRESS);
  if (link.type == ARPHRD_ETHER && mac.size() == 6) {
    link.mac.emplace();
    std::copy(mac.begin(), mac.end(), link.mac->begin());
  }
  link.master = static_cast<int>(a.U32(IFLA_MASTER).value_or(0));
  link.parent = static_cast<int>(a.U32(IFLA_LINK).value_or(0));
  link.parent_elsewhere = a.Has(IFLA_LINK_NETNSID);
  link.rx_queues = a.U32(IFLA_NUM_RX_QUEUES).value_or(0);
  link.tx_queues = a.U32(IFLA_NUM_TX_QUEUES).value_or(0);
  link.gso_max_size = a.U32(IFLA_GSO_MAX_SIZE).value_or(0);
  link.xdp_program_id = a.Nested(IFLA_XDP, IFLA_XDP_PROG_ID).U32(IFLA_XDP_PROG_ID).value_or(0);
  ParseKind(a, &link);
  return link;
}

absl::StatusOr<Link> GetLink(Socket* socket, absl::string_view name) {
  const std::string what = absl::StrCat("interface '", name, "'");
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return absl::NotFoundError(absl::StrCat(what, ": no interface can have such a name"));
  }
  Message message(RTM_GETLINK, 0);
  message.PutHeader(Header(0));
  message.PutString(IFLA_IFNAME, name);
  SkipStatistics(&message);
  return GetOne(socket, &message, what);
}

absl::StatusOr<Link> GetLink(Socket* socket, int index) {
  const std::string what = absl::StrCat("interface with index ", index);
  if (index <= 0) return absl::NotFoundError(absl::StrCat(what, ": no such index"));
  Message message(RTM_GETLINK, 0);
  message.PutHeader(Header(index));
  SkipStatistics(&message);
  return GetOne(socket, &message, what);
}

absl::StatusOr<std::vector<Link>> ListLinks(Socket* socket) {
  Message message(RTM_GETLINK, 0);
  message.PutHeader(Header(0));
  SkipStatistics(&message);
  std::vector<Link> links;
  CIPE_RETURN_IF_ERROR(socket->Dump(&message, "list interfaces", [&](const nlmsghdr& m) {
    if (auto link = ParseLink(m)) links.push_back(*std::move(link));
  }));
  return links;
}

absl::Status SetLinkUp(Socket* socket, int index, bool up) {
  ifinfomsg info = Header(index);
  info.ifi_change = IFF_UP;
  info.ifi_flags = up ? IFF_UP : 0;
  Message message(RTM_NEWLINK, 0);
  message.PutHeader(info);
  return socket->Request(&message, absl::StrCat("set interface ", index, up ? " up" : " down"));
}

absl::Status SetLinkMtu(Socket* socket, int index, uint32_t mtu) {
  Message message(RTM_NEWLINK, 0);
  message.PutHeader(Header(index));
  message.PutU32(IFLA_MTU, mtu);
  return socket->Request(&message, absl::StrCat("set MTU ", mtu, " of interface ", index));
}

absl::Status SetLinkGsoMaxSize(Socket* socket, int index, uint32_t octets) {
  CIPE_ASSIGN_OR_RETURN(const Link link, GetLink(socket, index));
  const std::string what = absl::StrCat("set gso_max_size ", octets, " of ", link.name);
  if (link.gso_max_size == 0) {
    return absl::UnimplementedError(absl::StrCat(what, ": this kernel does not know it"));
  }
  Message message(RTM_NEWLINK, 0);
  message.PutHeader(Header(index));
  message.PutU32(IFLA_GSO_MAX_SIZE, octets);
  return socket->Request(&message, what);
}

absl::Status DeleteLink(Socket* socket, int index) {
  const std::string what = absl::StrCat("delete interface ", index);
  // Index 0 without a name would ask the kernel to delete by other criteria.
  if (index <= 0) return absl::NotFoundError(absl::StrCat(what, ": no such index"));
  Message message(RTM_DELLINK, 0);
  message.PutHeader(Header(index));
  return socket->Request(&message, what);
}

}  // namespace cipe::netlink
