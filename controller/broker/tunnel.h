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
#include "broker/state_dir.h"
#include "config/model.h"
#include "ipc/messages.h"
#include "netlink/route.h"
#include "ports/tun_device.h"
#include "ports/udp_socket.h"

namespace cipe::broker {

class Tunnel {
 public:
  // `socket` and `carriers` must outlive the tunnel. Errors name what is in the way: AlreadyExists
  // (netdev, address and on which interface, route, port), PermissionDenied, Unavailable.
  static absl::StatusOr<std::unique_ptr<Tunnel>> Up(ipc::TunnelId id, config::Tunnel config,
                                                    netlink::Socket* socket,
                                                    CarrierTable* carriers);
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
  void ForgetNetdev() { ifindex_ = 0; }
  uint16_t listen_port() const { return udp_.port; }
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
  Tunnel(ipc::TunnelId id, config::Tunnel config, netlink::Socket* socket, CarrierTable* carriers)
      : id_(id), config_(std::move(config)), socket_(socket), carriers_(carriers) {}
  absl::Status OpenSockets();
  std::vector<Endpoint> KnownEndpoints() const;
  ipc::Datapath Datapath() const;
  absl::Status FitPathMtu();
  absl::Status MakeNetdev();
  absl::Status AddAddresses();
  absl::Status AddClassicAddress();
  absl::Status AddRoutes(const std::vector<IpPrefix>& prefixes);
  // The one place that knows which routes a change needs.
  struct RouteChange {
    std::vector<netlink::Route> gone;
    std::vector<IpPrefix> missing;
  };
  absl::StatusOr<RouteChange> CompareRoutes() const;
  absl::Status SyncRoutes();
  absl::Status SyncAddresses(const std::vector<IpPrefix>& before);
  absl::Status SetMark();
  absl::Status Converge(const std::vector<IpPrefix>& addresses_before);
  absl::Status CheckAddressFree(const IpPrefix& prefix) const;
  void Choose(const CarrierPlan& plan);

  const ipc::TunnelId id_;
  config::Tunnel config_;
  netlink::Socket* const socket_;
  CarrierTable* const carriers_;
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
  absl::flat_hash_map<ipc::PeerId, size_t> index_;
};

}  // namespace cipe::broker
