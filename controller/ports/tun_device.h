// Creates the tunnel netdev: the privileged half of TUN. The device lives as long as one of its
// queues is open.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace cipe::ports {

struct TunFeatures {
  bool checksum = false;  // reads may carry partial checksums (TUN_F_CSUM)
  bool tso = false;       // TCP superpackets both ways
  bool uso = false;       // UDP superpackets both ways (Linux 6.2)
};

struct TunOptions {
  std::string name;      // 1..15 characters
  int queues = 1;        // > 1: IFF_MULTI_QUEUE
  bool offloads = true;  // false: plain packets, for comparison and for kernels that misbehave
};

struct TunDevice {
  std::string name;
  std::vector<UniqueFd> queues;  // non-blocking, close-on-exec, vnet header of 10 octets
  TunFeatures features;
};

// Needs CAP_NET_ADMIN in the network namespace. Errors: PermissionDenied; AlreadyExists when a
// netdev of that name is there (never taken over); Unavailable without /dev/net/tun;
// InvalidArgument.
absl::StatusOr<TunDevice> CreateTunDevice(const TunOptions& options);

// Is there still a netdev behind this queue, in whatever network namespace? (TUNGETIFF)
bool TunAttached(int queue);

}  // namespace cipe::ports
