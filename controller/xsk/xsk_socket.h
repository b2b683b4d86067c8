// Makes AF_XDP sockets: the privileged half (broker). The result is a bound descriptor that the
// engine maps with XskRings. One UMEM per socket, one socket per (interface, RX queue).
//
// Raw system calls as described in Linux Documentation/networking/af_xdp.rst; libxdp 1.3.1 cannot
// take a ready UMEM descriptor, so it is not used.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "xsk/umem.h"

namespace cipe::xsk {

// Entries per ring, powers of two; 0 leaves RX or TX out (fill and completion always exist).
struct RingSizes {
  uint32_t fill = 4096;
  uint32_t completion = 2048;
  uint32_t rx = 2048;
  uint32_t tx = 2048;
  absl::Status Validate() const;
};

enum class CopyMode : uint8_t {
  kAuto = 0,      // zero copy where the driver has it, else copy
  kZeroCopy = 1,  // or fail
  kCopy = 2,
};

struct XskOptions {
  CopyMode mode = CopyMode::kAuto;
  RingSizes rings;
  // How long an EBUSY (the socket of a crashed engine still going away) is waited out.
  std::chrono::milliseconds busy_wait{1000};
};

class XskSocket {
 public:
  // Registers `umem` and binds a new socket to `queue` of interface `ifindex` in the calling
  // thread's network namespace. The kernel pins the pages: the caller's mapping may go afterwards.
  // PermissionDenied without CAP_NET_RAW; NotFound for no such interface or queue;
  // FailedPrecondition when the queue stays busy or zero copy was demanded and refused;
  // ResourceExhausted when the kernel may not pin that much memory.
  static absl::StatusOr<XskSocket> Create(uint32_t ifindex, uint32_t queue, const UmemRegion& umem,
                                          const XskOptions& options);

  int fd() const { return fd_.get(); }
  UniqueFd TakeFd() { return std::move(fd_); }
  uint32_t queue() const { return queue_; }
  const RingSizes& rings() const { return rings_; }
  bool zero_copy() const { return zero_copy_; }  // as read back from XDP_OPTIONS
  // Why kAuto ended in copy mode; empty in zero-copy mode or when copy mode was asked for.
  const std::string& copy_reason() const { return copy_reason_; }

 private:
  XskSocket() = default;

  UniqueFd fd_;
  uint32_t queue_ = 0;
  RingSizes rings_;
  bool zero_copy_ = false;
  std::string copy_reason_;
};

// RX queues of an interface of the calling thread's network namespace: ETHTOOL_GCHANNELS
// (rx + combined), else the rx-* entries of /sys/class/net/NAME/queues. NotFound names the
// interface.
absl::StatusOr<uint32_t> RxQueueCount(const std::string& interface);

}  // namespace cipe::xsk
