// Makes AF_XDP sockets: the privileged half (broker). One UMEM per socket, one socket per
// (interface, RX queue). Between Open and Bind the engine maps the descriptor with XskRings: some
// kernels, 6.1 among them, refuse to map the rings of a bound socket (xsk_mmap, EBUSY).
//
// Raw system calls as described in Linux Documentation/networking/af_xdp.rst; libxdp 1.3.1 cannot
// take a ready UMEM descriptor, so it is not used.
#pragma once

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
};

class XskSocket {
 public:
  // A new socket for `queue` of interface `ifindex` of the calling thread's network namespace, with
  // `umem` registered and rings made, not bound yet: its rings can be mapped, no frame comes or
  // goes. The kernel pins the pages: the caller's mapping may go afterwards.
  // PermissionDenied without CAP_NET_RAW; ResourceExhausted when the kernel may not pin that much
  // memory.
  static absl::StatusOr<XskSocket> Open(uint32_t ifindex, uint32_t queue, const UmemRegion& umem,
                                        const XskOptions& options);

  // Frames come and go from here on. Unavailable while another socket holds the queue, such as one
  // of an engine that died a moment ago: worth another try. All else is final: NotFound for no such
  // interface or queue; FailedPrecondition when the driver or the link is not fit for it or zero
  // copy was demanded and refused. Never waits.
  absl::Status Bind();

  int fd() const { return fd_.get(); }
  UniqueFd TakeFd() { return std::move(fd_); }
  uint32_t queue() const { return queue_; }
  bool bound() const { return bound_; }
  const RingSizes& rings() const { return options_.rings; }
  // Once bound: as read back from XDP_OPTIONS.
  bool zero_copy() const { return zero_copy_; }
  // Why kAuto ended in copy mode; empty in zero-copy mode or when copy mode was asked for.
  const std::string& copy_reason() const { return copy_reason_; }

 private:
  XskSocket() = default;
  int TryBind(uint16_t mode_flag);
  std::string Name() const;
  absl::Status ToStatus(const char* step, int error) const;

  UniqueFd fd_;
  uint32_t ifindex_ = 0;
  uint32_t queue_ = 0;
  uint64_t umem_size_ = 0;
  XskOptions options_;
  bool bound_ = false;
  bool zero_copy_ = false;
  std::string copy_reason_;
};

// RX queues of an interface of the calling thread's network namespace: ETHTOOL_GCHANNELS
// (rx + combined), else the rx-* entries of /sys/class/net/NAME/queues. NotFound names the
// interface.
absl::StatusOr<uint32_t> RxQueueCount(const std::string& interface);

}  // namespace cipe::xsk
