// One tunnel that is up: its netdev, addresses, routes, sockets and carriers. Coming up is all or
// nothing; destruction takes everything away again, in reverse order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "broker/datapath.h"
#include "broker/endpoint_check.h"
#include "broker/handover.h"
#include "broker/route_book.h"
#include "broker/route_keeper.h"
#include "broker/state_dir.h"
#include "config/model.h"
#include "ipc/messages.h"
#include "netlink/route.h"
#include "ports/tun_device.h"
#include "ports/udp_socket.h"

namespace cipe::broker {

class Tunnel {
 public:
  // `socket`, `carriers` and `routes` must outlive the tunnel. Errors name what is in the way:
  // AlreadyExists (netdev, address and on which interface, route, port), PermissionDenied,
  // Unavailable.
  static absl::StatusOr<std::unique_ptr<Tunnel>> Up(ipc::TunnelId id, config::Tunnel config,
                                                    netlink::Socket* socket, CarrierTable* carriers,
                                                    RouteBook* routes);
  // One that another daemon handed over: nothing is made, nothing on the network changes, but for
  // carriers, which are chosen anew. Peers are set, identities are not.
  static absl::StatusOr<std::unique_ptr<Tunnel>> Adopt(TunnelHandover handover,
                                                       netlink::Socket* socket,
                                                       CarrierTable* carriers, RouteBook* routes);
  TunnelHandover HandOver() const;
  ~Tunnel();
  Tunnel(const Tunnel&) = delete;
  Tunnel& operator=(const Tunnel&) = delete;

  // What an engine needs; descriptors are duplicates.
  ipc::TunnelAdd Describe(bool takeover) const;
  ipc::DatapathChanged DescribeDatapath() const;

  ipc::TunnelId id() const { return id_; }
  const config::Tunnel& config() const { return config_; }
  const DatapathChoice& datapath() const { return datapath_; }
  int ifindex() const { return ifindex_; }
  // Was the netdev deleted by somebody else? One that was moved to another namespace still works.
  bool NetdevGone() const;
  // Its index may name another device by now.
  uint32_t link_mtu() const { return link_mtu_; }  // of the netdev
  void ForgetNetdev();
  // On outer packets: FwMark, or the one picked so that they do not take the tunnel's own default
  // route. 0: none. Whoever asks for the route of an outer packet asks with it.
  uint32_t fwmark() const { return own_table_.mark != 0 ? own_table_.mark : config_.fwmark; }
  // Addresses, routes and rules, for a changed plan (tunnel_routes.cc).
  RouteKeeper& routes() { return *routes_; }
  const RouteKeeper& routes() const { return *routes_; }
  // Whether something of somebody else's keeps another configuration of this tunnel from being
  // carried out. Nothing is changed.
  absl::Status CheckRoutes(const config::Tunnel& changed);
  // Carries it out, marks on the sockets included; on an error all is as before. config() is not
  // changed.
  absl::Status ApplyRoutes(const config::Tunnel& changed);
  // May outer packets go to `endpoint`? One inside AllowedIPs gets routes around it first.
  absl::Status AdmitEndpoint(const config::Peer& peer, const Endpoint& endpoint);
  uint16_t listen_port() const { return udp_.port; }
  bool HasSocket(Family family) const {
    return (family == Family::kIpv4 ? udp_.v4 : udp_.v6).valid();
  }
  uint32_t mtu() const { return mtu_; }  // what this end takes; the netdev's may be less

  // A peer's MTU became the smallest one, `smallest` octets, or is it no longer. Sets the netdev's
  // where the configuration leaves that to us (tunnel_plan.h, LinkMtu).
  absl::Status FitMtu(uint32_t smallest);

  // Looks again at interfaces and routes, now that they or an endpoint changed: carriers that went
  // are given up, those that came are set up, the MTU follows where it is ours to set. kChanged:
  // the engine has to be told; kLater: it moved a moment ago, look again after kMoveCalm.
  enum class Look { kSame, kChanged, kLater };
  static constexpr Duration kMoveCalm = std::chrono::seconds(10);
  Look Revisit(Instant now);

  // Another configuration for the tunnel while it is up, with what had to be opened for it.
  struct Change {
    config::Tunnel config;
    std::optional<ports::UdpSockets> udp;  // when its port is another one
  };
  // tunnel_change.cc. Checks everything that can be checked and changes nothing. Errors as Up's.
  absl::StatusOr<Change> Prepare(config::Tunnel next) const;
  // Makes netdev, addresses, routes and sockets what `change` says; `change` is the way back then,
  // taken by the same function. On an error everything is as it was.
  absl::Status Exchange(Change* change);
  // What somebody else changed, one sentence each: the kernel does not have what the configuration
  // means. Exchange mends it.
  absl::StatusOr<std::vector<std::string>> Drift() const;
  // Carriers anew, whether or not anything about them changed.
  void ChooseAgain();
  // One of the carriers settled, or all begin anew: rung and reasons as they are now.
  void Conclude();
  // A carrier of its has failed (on this interface, when one is named).
  bool HasFailedCarrier(int ifindex = 0) const;
  // Says in the log on which rung the tunnel is, once that is known and whenever it changed.
  void LogRung();
  // For an engine that has the tunnel and needs other sockets: the netdev's queues once more.
  void LendPorts(ipc::TunnelChange* change) const;

  // Whoever started the tunnel watches its log: lines go to `fd` too, the engine's as well.
  void SetLog(UniqueFd fd) { log_ = std::move(fd); }

  // Protocol 3: the peer's address on the netdev was learned. Replaces the one known before.
  absl::Status SetPtpaddr(const IpAddress& ptpaddr);

  // Index into config().peers; npos when this tunnel has no such peer.
  static constexpr size_t npos = static_cast<size_t>(-1);
  size_t IndexOf(ipc::PeerId peer) const;

  // Same order as config().peers; kept up to date, but for the floors: the FloorTable has those.
  std::vector<ipc::PeerSetup> peers;
  std::vector<Identities> identities;  // of each peer
  // To be called when `peers` are others or stand in another order.
  void IndexPeers();

 private:
  Tunnel(ipc::TunnelId id, config::Tunnel config, netlink::Socket* socket, CarrierTable* carriers,
         RouteBook* book)
      : id_(id), config_(std::move(config)), socket_(socket), carriers_(carriers), book_(book) {}
  absl::Status OpenSockets();
  OuterWay Way() const { return {udp_.port, fwmark(), ifindex_}; }
  std::vector<Endpoint> KnownEndpoints() const;
  ipc::Datapath Datapath() const;
  absl::Status FitPathMtu();
  absl::Status MakeNetdev();
  absl::Status AddClassicAddress();
  absl::Status TakeTable();
  absl::Status AddRoutes();
  absl::Status RouteAround(const IpAddress& endpoint);
  absl::StatusOr<OwnTable> TableFor(const config::Tunnel& config);
  absl::Status MarkSockets(uint32_t mark) const;
  void WarnOfStrictFilter() const;
  absl::Status Converge();
  void Choose(const CarrierPlan& plan);

  const ipc::TunnelId id_;
  config::Tunnel config_;
  netlink::Socket* const socket_;
  CarrierTable* const carriers_;
  RouteBook* const book_;
  OwnTable own_table_;
  std::vector<IpAddress> around_;  // endpoints that names resolved to, inside AllowedIPs
  std::unique_ptr<RouteKeeper> routes_;
  DatapathChoice datapath_;
  ports::UdpSockets udp_;
  ports::TunDevice tun_;
  UniqueFd log_;
  int ifindex_ = 0;
  IpAddress ptpaddr_;                   // protocol 3: learned
  uint32_t mtu_ = 0;                    // what this end takes; announced to peers
  uint32_t link_mtu_ = 0;               // of the netdev: may be less
  uint32_t smallest_mtu_ = UINT32_MAX;  // announced by a peer
  std::optional<Instant> moved_at_;
  bool introduced_ = false;    // the log knows that it is up
  int logged_rung_ = 0;        // 0: none yet
  std::string logged_reason_;  // of that rung
  absl::flat_hash_map<ipc::PeerId, size_t> index_;
};

}  // namespace cipe::broker
