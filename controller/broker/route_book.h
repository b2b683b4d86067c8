// What this ciped has in the kernel's routing that is not bound to one netdev: whose reject routes
// and rules are ours, on the disk before the kernel is asked, and which tables, marks and netdevs
// its tunnels use. Whatever is not in it belongs to somebody else, protocol number 205 or not.
//
// Belongs to the broker's thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "broker/lasting_routes.h"
#include "broker/route_plan.h"
#include "netlink/route.h"
#include "netlink/socket.h"

namespace cipe::broker {

// As the kernel wants it.
netlink::Route RejectRoute(const PlannedRoute& reject);

class RouteBook {
 public:
  using Save = std::function<absl::Status(const LastingRoutes&)>;
  // `known` is what the last run left; `save` puts it on the disk before it returns. `socket` must
  // outlive the book.
  RouteBook(netlink::Socket* socket, LastingRoutes known, Save save)
      : socket_(socket), lasting_(std::move(known)), save_(std::move(save)) {}

  // At the start: takes away what the last run left for tunnels that nobody wants any more.
  void ForgetUnwanted(const std::vector<std::string>& wanted);
  // At the start, before anything takes its time: reject routes, and the rules that lead to them,
  // which went with the kernel (a reboot) or by somebody's hand. What cannot be had is logged.
  void PutBackRejects();
  // `tunnel` goes for good: nothing of it stays in the kernel. What cannot be removed is logged and
  // stays in the book for the next start.
  void Forget(const std::string& tunnel);

  // A table that nobody uses and a mark for the tunnel, the same as before where it had them:
  // `fwmark` when it is not 0, else one that all our tunnels share, so that none takes another's
  // packets. FailedPrecondition names a tunnel that is up with another mark. Released by Forget and
  // LeaveTable.
  absl::StatusOr<OwnTable> TakeTable(const std::string& tunnel, uint32_t fwmark);
  // As it was before TakeTable; zeros: none.
  void KeepTable(const std::string& tunnel, OwnTable own);
  void LeaveTable(const std::string& tunnel) { tables_.erase(tunnel); }

  const Lasting& Of(const std::string& tunnel) const;
  // Replaces what is known of the tunnel. On an error the book is as it was.
  absl::Status Write(const std::string& tunnel, Lasting lasting);
  bool Has(const PlannedRoute& reject) const;
  bool Has(const netlink::Rule& rule) const;
  // Removes from the kernel, unless another tunnel of ours has the same. OK when it was gone.
  absl::Status Remove(const std::string& tunnel, const PlannedRoute& reject);
  absl::Status Remove(const std::string& tunnel, const netlink::Rule& rule);

  void AddNetdev(int ifindex, const std::string& tunnel) { netdevs_[ifindex] = tunnel; }
  void RemoveNetdev(int ifindex) { netdevs_.erase(ifindex); }
  // The tunnel of ours with this netdev; empty when it is not ours.
  std::string TunnelOf(int ifindex) const;

 private:
  absl::StatusOr<uint32_t> FreeTable(const std::vector<netlink::Rule>& rules) const;
  absl::StatusOr<uint32_t> FreeMark(const std::vector<netlink::Rule>& rules) const;

  netlink::Socket* const socket_;
  LastingRoutes lasting_;
  const Save save_;
  std::map<std::string, OwnTable> tables_;  // of tunnels that are up
  std::map<int, std::string> netdevs_;
};

}  // namespace cipe::broker
