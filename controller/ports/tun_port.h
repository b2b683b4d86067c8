// Packets to and from one queue of a TUN device with vnet headers: up to 64 KB per system call.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "packet/coalescer.h"
#include "packet/virtio_header.h"

namespace cipe::ports {

class TunPort {
 public:
  // Headroom and capacity a read buffer must have: Segmenter works in place.
  static constexpr size_t kHeadroom = 64;
  static constexpr size_t kMaxRead = 65536;
  // What Read returns when the device was deleted: the descriptor is good for nothing any more.
  static constexpr int kGone = -EBADFD;

  // `fd` is a queue of tun_device.h, non-blocking. Borrowed: must outlive the port.
  explicit TunPort(int fd) : fd_(fd) {}
  explicit TunPort(UniqueFd fd) : owned_(std::move(fd)), fd_(owned_.get()) {}

  int fd() const { return fd_; }

  // Reads one packet to `buffer` (at least kMaxRead octets, kHeadroom before it are the caller's).
  // Returns its size; 0 when there is nothing to read now; -errno on failure (kGone among them;
  // -EIO: it is down on some kernels).
  int Read(packet::VnetHeader* header, uint8_t* buffer, size_t capacity);

  struct WriteCounts {
    uint32_t written = 0;  // packets (as they came from the tunnel, not writes)
    uint32_t full = 0;     // not taken for want of room: drop rx_tun_full
    uint32_t refused = 0;  // not taken for another reason: drop rx_tun_error
    int last_error = 0;    // errno of the last refusal, 0 for none
  };
  // Writes each in order, and goes on after one that is refused.
  WriteCounts Write(absl::Span<const packet::PacketWrite> writes);

 private:
  UniqueFd owned_;
  int fd_ = -1;
};

}  // namespace cipe::ports
