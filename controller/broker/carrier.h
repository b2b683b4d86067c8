// One interface with our XDP program and its AF_XDP sockets, shared by all tunnels that use it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "ipc/messages.h"
#include "netlink/link.h"
#include "netlink/socket.h"
#include "steering/program.h"

namespace cipe::broker {

// What a tunnel asks for by an interface's name, and what that means.
struct CarrierChoice {
  netlink::Link link;    // as named
  netlink::Link attach;  // where the program goes: the link, or the parent of a VLAN device
  uint32_t vlan = 0;     // tag frames carry at `attach`, 0 for none
  std::string obstacle;  // why no XDP can be there; empty when it can be tried
};

// NotFound names the interface. Bridge and bond ports, macvlan, TUN and PPP get an obstacle.
absl::StatusOr<CarrierChoice> ChooseCarrier(netlink::Socket* socket, const std::string& name);

class Carrier {
 public:
  // Loads and attaches the program; the error is the reason for rung 3.
  static absl::StatusOr<Carrier> Attach(ipc::CarrierId id, const netlink::Link& link,
                                        const steering::MapSet& maps);
  // The same in the place of another daemon's program.
  static absl::StatusOr<Carrier> Adopt(ipc::CarrierId id, const netlink::Link& link,
                                       const steering::MapSet& maps, UniqueFd bpf_link);
  Carrier(Carrier&&) = default;
  Carrier& operator=(Carrier&&) = default;

  // New AF_XDP sockets for every RX queue, put into the XSKMAP; what an engine needs of them. The
  // broker keeps none: an engine's death closes them, and frames pass to the kernel until the next
  // engine's sockets are here.
  absl::StatusOr<ipc::CarrierAdd> MakeSockets();

  ipc::CarrierId id() const { return id_; }
  const netlink::Link& link() const { return link_; }
  bool zero_copy() const { return zero_copy_; }
  const std::string& copy_reason() const { return copy_reason_; }
  // Frames pass to the kernel from now on, until MakeSockets.
  absl::Status StopSteering();
  // A duplicate of the bpf_link.
  UniqueFd Link() const;
  // A new MAC after a change of the interface.
  absl::Status SetMac(const netlink::MacAddress& mac);
  void SetName(const std::string& name) { link_.name = name; }

  int users = 0;      // tunnels
  bool lost = false;  // its interface went away: program and sockets are dead

 private:
  Carrier(ipc::CarrierId id, netlink::Link link, steering::XdpProgram program)
      : id_(id), link_(std::move(link)), program_(std::move(program)) {}

  ipc::CarrierId id_;
  netlink::Link link_;
  steering::XdpProgram program_;
  uint32_t queues_ = 0;
  bool zero_copy_ = false;
  std::string copy_reason_;
};

}  // namespace cipe::broker
