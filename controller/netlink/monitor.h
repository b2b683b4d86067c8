// Changes of links, addresses, routes, rules and neighbours as they happen (rtnetlink(7), multicast
// groups).
#pragma once

#include <functional>
#include <variant>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/neighbour.h"
#include "netlink/route.h"
#include "netlink/rule.h"

namespace cipe::netlink {

struct LinkEvent {
  bool removed = false;
  Link link;
};
struct AddressEvent {
  bool removed = false;
  InterfaceAddress address;
};
struct RouteEvent {
  bool removed = false;
  Route route;
};
struct RuleEvent {
  bool removed = false;
  Rule rule;
};
struct NeighbourEvent {
  bool removed = false;
  Neighbour neighbour;
};
// Events were lost (ENOBUFS, netlink(7)): everything known has to be listed again.
struct Resync {};

using Event = std::variant<LinkEvent, AddressEvent, RouteEvent, NeighbourEvent, Resync, RuleEvent>;

class Monitor {
 public:
  // Listens in the network namespace of the calling thread. No privilege needed.
  static absl::StatusOr<Monitor> Open();
  Monitor(Monitor&&) noexcept = default;
  Monitor& operator=(Monitor&&) noexcept = default;

  // Readable when there is something to drain; non-blocking.
  int fd() const { return fd_.get(); }
  // Hands over what is queued, in order, at most 256 datagrams at a time so that a storm does not
  // keep the caller from other work (fd() stays readable then). An error means the socket is
  // unusable.
  absl::Status Drain(const std::function<void(const Event&)>& handler);

 private:
  explicit Monitor(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace cipe::netlink
