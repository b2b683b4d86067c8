#include "broker/carrier.h"

#include <fcntl.h>
#include <net/if_arp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cipe/abi/maps.h"
#include "xsk/umem.h"

namespace cipe::broker {
namespace {

// Why frames of this device cannot be taken by XDP of ours; empty when there is no such reason.
std::string Obstacle(const netlink::Link& link) {
  if (link.type != ARPHRD_ETHER || !link.mac.has_value()) {
    return absl::StrCat("carrier ", link.name, " is not an Ethernet device");
  }
  if (link.master_kind == "bridge") {
    return absl::StrCat("carrier ", link.name, " is a bridge port");
  }
  if (link.master_kind == "bond" || link.master_kind == "team") {
    return absl::StrCat("carrier ", link.name, " is a port of a ", link.master_kind,
                        "; name that one as Carrier");
  }
  if (link.kind == "macvlan" || link.kind == "macvtap" || link.kind == "ipvlan" ||
      link.kind == "tun" || link.kind == "bridge") {
    return absl::StrCat("carrier ", link.name, " is a ", link.kind, " device");
  }
  return "";
}

}  // namespace

absl::StatusOr<CarrierChoice> ChooseCarrier(netlink::Socket* socket, const std::string& name) {
  CarrierChoice choice;
  CIPE_ASSIGN_OR_RETURN(choice.link, netlink::GetLink(socket, name));
  choice.attach = choice.link;
  if (choice.link.kind == "vlan" && choice.link.vlan_id.has_value()) {
    if (choice.link.parent_elsewhere) {
      choice.obstacle =
          absl::StrCat("parent of VLAN device ", name, " is in another network namespace");
      return choice;
    }
    CIPE_ASSIGN_OR_RETURN(choice.attach, netlink::GetLink(socket, choice.link.parent));
    choice.vlan = *choice.link.vlan_id;
    if (choice.attach.kind == "vlan") {
      choice.obstacle = absl::StrCat("carrier ", name, " has two VLAN tags");
      return choice;
    }
  }
  choice.obstacle = Obstacle(choice.attach);
  return choice;
}

absl::StatusOr<Carrier> Carrier::Attach(ipc::CarrierId id, const netlink::Link& link,
                                        const steering::MapSet& maps) {
  CIPE_ASSIGN_OR_RETURN(steering::XdpProgram program, steering::XdpProgram::Load(maps, {}));
  CIPE_RETURN_IF_ERROR(program.SetCarrier(*link.mac, 0));
  CIPE_RETURN_IF_ERROR(program.Attach(static_cast<uint32_t>(link.index)));
  return Carrier(id, link, std::move(program));
}

absl::StatusOr<Carrier> Carrier::Adopt(ipc::CarrierId id, const netlink::Link& link,
                                       const steering::MapSet& maps, UniqueFd bpf_link) {
  CIPE_ASSIGN_OR_RETURN(steering::XdpProgram program, steering::XdpProgram::Load(maps, {}));
  CIPE_RETURN_IF_ERROR(program.SetCarrier(*link.mac, 0));
  CIPE_RETURN_IF_ERROR(program.Adopt(std::move(bpf_link), static_cast<uint32_t>(link.index)));
  return Carrier(id, link, std::move(program));
}

absl::Status Carrier::StopSteering() {
  for (uint32_t queue = 0; queue < queues_; ++queue) {
    CIPE_RETURN_IF_ERROR(program_.ClearSocket(queue));
  }
  return absl::OkStatus();
}

UniqueFd Carrier::Link() const { return UniqueFd(fcntl(program_.link_fd(), F_DUPFD_CLOEXEC, 0)); }

absl::StatusOr<ipc::CarrierAdd> Carrier::Offer() {
  Withdraw();
  CIPE_RETURN_IF_ERROR(program_.Reclaim());
  CIPE_ASSIGN_OR_RETURN(uint32_t queues, xsk::RxQueueCount(link_.name));
  // A queue without a socket would only pass its frames to the kernel's road, which opens them too.
  queues = std::min<uint32_t>(queues, CIPE_MAX_QUEUES);
  ipc::CarrierAdd add;
  add.carrier = id_;
  add.name = link_.name;
  add.ifindex = static_cast<uint32_t>(link_.index);
  add.mac = *link_.mac;
  add.mtu = link_.mtu;
  std::vector<xsk::XskSocket> sockets;
  for (uint32_t queue = 0; queue < queues; ++queue) {
    xsk::UmemLayout layout;
    layout.frame_count = 8192;  // the fill ring takes half, the rest is for frames on their way out
    CIPE_ASSIGN_OR_RETURN(const xsk::UmemRegion umem, xsk::UmemRegion::Create(layout));
    CIPE_ASSIGN_OR_RETURN(xsk::XskSocket socket,
                          xsk::XskSocket::Open(add.ifindex, queue, umem, xsk::XskOptions()));
    add.queues.push_back({queue, layout.frame_size, layout.frame_count,
                          UniqueFd(fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0)),
                          UniqueFd(fcntl(umem.fd(), F_DUPFD_CLOEXEC, 0))});
    sockets.push_back(std::move(socket));
  }
  sockets_ = std::move(sockets);
  state_ = State::kOffered;
  return add;
}

// The XSKMAP comes last: until every queue has its socket all of them go by the kernel's road.
absl::Status Carrier::Bind() {
  bool zero_copy = true;
  for (xsk::XskSocket& socket : sockets_) {
    if (!socket.bound()) CIPE_RETURN_IF_ERROR(socket.Bind());
    zero_copy = zero_copy && socket.zero_copy();
    if (!socket.zero_copy()) copy_reason_ = socket.copy_reason();
  }
  for (const xsk::XskSocket& socket : sockets_) {
    CIPE_RETURN_IF_ERROR(program_.SetSocket(socket.queue(), socket.fd()));
  }
  queues_ = static_cast<uint32_t>(sockets_.size());
  CIPE_RETURN_IF_ERROR(program_.SetCarrier(*link_.mac, queues_));
  zero_copy_ = zero_copy;
  sockets_.clear();
  state_ = State::kReady;
  return absl::OkStatus();
}

void Carrier::Withdraw() {
  if (state_ == State::kFailed) return;
  sockets_.clear();
  queues_ = 0;
  late = false;
  state_ = State::kIdle;
}

void Carrier::Fail(Hindrance why) {
  Withdraw();
  program_.Detach();
  failure_ = std::move(why);
  state_ = State::kFailed;
}

bool Carrier::AsWhenFailed(const netlink::Link& link) const {
  return link.up == link_.up && link.xdp_program_id == 0;
}

absl::Status Carrier::SetMac(const netlink::MacAddress& mac) {
  link_.mac = mac;
  return program_.SetCarrier(mac, 0);
}

}  // namespace cipe::broker
