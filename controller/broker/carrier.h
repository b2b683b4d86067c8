// One interface with our XDP program and its AF_XDP sockets, shared by all tunnels that use it.
//
// Sockets come up in two steps, since some kernels let nobody map the rings of a bound socket: the
// broker makes them (Offer), the engine maps them, the broker binds them (Bind). Each engine gets
// new ones. Nothing here waits; CarrierTable goes from step to step.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/messages.h"
#include "netlink/link.h"
#include "netlink/socket.h"
#include "steering/program.h"
#include "xsk/xsk_socket.h"

namespace cipe::broker {

// Why something better cannot be had: `cause` is a stable name (datapath.h), `text` is for people.
// Both empty: nothing is in the way.
struct Hindrance {
  std::string cause;
  std::string text;
};

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

  enum class State : uint8_t {
    kIdle,     // attached; no engine has been asked yet
    kOffered,  // new sockets are with the engine, not bound
    kReady,    // bound and in the XSKMAP
    kFailed,   // given up and detached; whoever wants the interface acquires it anew
  };

  // New AF_XDP sockets for every RX queue, not bound: what an engine needs of them. Frames pass to
  // the kernel meanwhile. An error leaves nothing but the program.
  absl::StatusOr<ipc::CarrierAdd> Offer();
  // Once the engine has mapped what was offered: binds the sockets and puts them into the XSKMAP.
  // Unavailable while a queue is still somebody's: to be called again. Of the sockets the broker
  // keeps none then: an engine's death closes them, and frames pass to the kernel again.
  absl::Status Bind();
  // The engine is gone, and its sockets with it.
  void Withdraw();
  // Gives up for good: detached, and what was offered is closed.
  void Fail(Hindrance why);

  ipc::CarrierId id() const { return id_; }
  const netlink::Link& link() const { return link_; }
  bool zero_copy() const { return zero_copy_; }
  const std::string& copy_reason() const { return copy_reason_; }
  State state() const { return state_; }
  // Frames are taken: the one state in which a tunnel is on rung 1 or 2 by this carrier.
  bool ready() const { return state_ == State::kReady && !lost; }
  // It may still become ready.
  bool pending() const { return !lost && (state_ == State::kIdle || state_ == State::kOffered); }
  const Hindrance& failure() const { return failure_; }
  // Where Seen() has to look whether a failed carrier is worth another try.
  bool AsWhenFailed(const netlink::Link& link) const;
  // Frames pass to the kernel from now on, until the next Bind.
  absl::Status StopSteering();
  // A duplicate of the bpf_link.
  UniqueFd Link() const;
  // A new MAC after a change of the interface.
  absl::Status SetMac(const netlink::MacAddress& mac);
  void SetName(const std::string& name) { link_.name = name; }

  int users = 0;      // tunnels
  bool lost = false;  // its interface went away: program and sockets are dead
  bool late = false;  // pending for so long that nobody waits for it any more

 private:
  Carrier(ipc::CarrierId id, netlink::Link link, steering::XdpProgram program)
      : id_(id), link_(std::move(link)), program_(std::move(program)) {}

  ipc::CarrierId id_;
  netlink::Link link_;
  steering::XdpProgram program_;
  State state_ = State::kIdle;
  std::vector<xsk::XskSocket> sockets_;  // offered
  uint32_t queues_ = 0;                  // in the XSKMAP
  Hindrance failure_;
  bool zero_copy_ = false;
  std::string copy_reason_;
};

}  // namespace cipe::broker
