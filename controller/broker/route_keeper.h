// Keeps the kernel's addresses, routes, reject routes and rules of one tunnel as a plan wants them,
// whatever others do to them. All or nothing: a plan that cannot be had changes nothing.
//
// Ours are: on the tunnel's netdev, routes of protocol 205 and the addresses of the plan before;
// elsewhere, what the RouteBook names. Nothing else is ever removed.
//
// Belongs to the broker's thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "broker/route_book.h"
#include "broker/route_plan.h"
#include "netlink/socket.h"

namespace cipe::broker {

class RouteKeeper {
 public:
  // The netdev exists and is up. `path` is the tunnel's file, for messages. `standing` is the plan
  // that another process has carried out on it already; nothing is touched here.
  RouteKeeper(netlink::Socket* socket, RouteBook* book, std::string tunnel, std::string path,
              int ifindex, RoutePlan standing = {});
  // Leaves what must outlive the netdev: reject routes, and the rules that lead to them. Rules
  // without reject routes go. Whoever takes the tunnel down for good says RouteBook::Forget, too.
  ~RouteKeeper();
  RouteKeeper(const RouteKeeper&) = delete;
  RouteKeeper& operator=(const RouteKeeper&) = delete;

  // Brings the kernel to `wanted`, whatever stands there: what is as wanted is not touched.
  // AlreadyExists names a route or address of somebody else, its interface and the way out;
  // everything is as before then, on the disk too.
  absl::Status Apply(const RoutePlan& wanted);
  // Whether Apply would be refused for something of somebody else's. What other tunnels of ours
  // have does not count: it may change with the same reload.
  absl::Status Check(const RoutePlan& wanted) const;
  const RoutePlan& wanted() const { return wanted_; }
  // What of it the kernel does not have, as text; empty when it has all.
  absl::StatusOr<std::string> Drift() const;

  // Does a route of somebody else stand where one of ours belongs, and not beside it?
  bool InTheWay(const netlink::Route& theirs) const;
  // After a change of the network: puts back what others took away, and says so in the log. Who
  // does it again and again is given way for a minute, and so is who put a route of his own in its
  // place, for as long as it is there. kLater: look again after kTruce, and when a route goes.
  enum class Look { kSame, kRestored, kLater };
  static constexpr Duration kTruce = std::chrono::seconds(60);
  Look Restore(Instant now);

  // Another process goes on with all of it: the destructor does nothing.
  void Leave() { left_ = true; }
  // The netdev was deleted: what was bound to it went with it.
  void ForgetNetdev();

 private:
  struct Missing {
    std::vector<IpPrefix> addresses;
    // Ours, there, with another length than wanted now: an interface has an IPv6 address once.
    std::vector<IpPrefix> other_length;
    std::vector<PlannedRoute> routes, rejects;
    std::vector<netlink::Rule> rules;
    // There, made by another ciped, and as good as ours as long as it stays.
    std::vector<netlink::Rule> foreign;
    bool empty() const {
      return addresses.empty() && routes.empty() && rejects.empty() && rules.empty();
    }
    std::string ToString() const;
  };
  absl::StatusOr<Missing> FindMissing(const RoutePlan& wanted) const;
  absl::Status FindRules(const RoutePlan& wanted, Missing* missing) const;
  absl::Status CheckAddresses(const std::vector<IpPrefix>& addresses) const;
  absl::Status CheckRoutes(const RoutePlan& wanted, const Missing& missing, bool tunnels) const;
  absl::Status CheckOtherTunnels(const netlink::Route& theirs, const Missing& missing) const;
  absl::Status CheckForeign(const RoutePlan& wanted, const netlink::Route& theirs,
                            const PlannedRoute& ours) const;
  // Adds all of it, or nothing.
  absl::Status AddAll(const Missing& missing);
  absl::Status AddEach(const Missing& missing, Missing* added);
  void Undo(const Missing& added);
  void RemoveUnwanted(const RoutePlan& wanted, const Lasting& after);
  void RemoveRoutes(const RoutePlan& wanted);
  netlink::Route OnNetdev(const PlannedRoute& route) const;
  std::string NameOf(int ifindex) const;
  std::string WhyNotUp() const;
  bool IsInTheWay(const Missing& missing);  // and says so in the log, once

  netlink::Socket* const socket_;
  RouteBook* const book_;
  const std::string tunnel_, path_;
  int ifindex_;
  RoutePlan wanted_;
  bool left_ = false;
  bool told_down_ = false;
  std::string in_the_way_;  // what the log says of it
  int restored_ = 0;        // since `since_`
  std::optional<Instant> since_;
};

}  // namespace cipe::broker
