// The memory an AF_XDP socket receives into and sends from (UMEM), and who owns which frame of it.
//
// The area is a sealed memfd: the broker registers it with the kernel (needs CAP_NET_RAW and, for
// more than RLIMIT_MEMLOCK, CAP_IPC_LOCK), the engine maps the same pages from the descriptor it is
// lent. Source: Linux Documentation/networking/af_xdp.rst, memfd_create(2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace cipe::xsk {

// Octets the kernel keeps free before a received packet (XDP_PACKET_HEADROOM), besides `headroom`.
inline constexpr uint32_t kKernelHeadroom = 256;

struct UmemLayout {
  uint32_t frame_size = 4096;   // octets; 2048 or 4096 (aligned chunk mode)
  uint32_t frame_count = 4096;  // power of two, at most 65536
  uint32_t headroom = 0;        // octets wanted before a received packet, on top of the kernel's

  uint64_t bytes() const { return uint64_t{frame_size} * frame_count; }
  // Longest packet that one frame can hold on reception.
  uint32_t max_packet() const { return frame_size - kKernelHeadroom - headroom; }
  // InvalidArgument names the field and the range.
  absl::Status Validate() const;
  friend bool operator==(const UmemLayout&, const UmemLayout&) = default;
};

class UmemRegion {
 public:
  // Broker: a new zeroed area, sealed against resizing. ResourceExhausted when memory is short.
  static absl::StatusOr<UmemRegion> Create(const UmemLayout& layout);
  // Engine: the area behind a descriptor from the broker. FailedPrecondition unless it has exactly
  // the size of `layout` and is sealed against shrinking (else reading it could raise SIGBUS).
  static absl::StatusOr<UmemRegion> Adopt(UniqueFd fd, const UmemLayout& layout);

  UmemRegion(UmemRegion&& other) noexcept;
  UmemRegion& operator=(UmemRegion&& other) noexcept;
  ~UmemRegion();

  int fd() const { return fd_.get(); }
  const UmemLayout& layout() const { return layout_; }
  uint8_t* data() const { return data_; }
  size_t size() const { return layout_.bytes(); }

  // True when [address, address + length) lies in one frame: check before trusting a descriptor.
  bool Holds(uint64_t address, uint32_t length) const;
  // Octets at `address`; the caller has checked Holds().
  uint8_t* At(uint64_t address) const { return data_ + address; }
  // Start of the frame that `address` points into.
  uint64_t FrameOf(uint64_t address) const { return address & ~uint64_t{layout_.frame_size - 1}; }

 private:
  UmemRegion(UniqueFd fd, const UmemLayout& layout, uint8_t* data);

  UniqueFd fd_;
  UmemLayout layout_;
  uint8_t* data_ = nullptr;
};

// Frames of one UMEM that are nobody's at the moment. Not thread-safe: one worker owns it.
// Invariant: available() + outstanding() == layout.frame_count; no frame is handed out twice and
// none is taken back twice, so outstanding() is what rings and pipelines must hold between them.
class FramePool {
 public:
  explicit FramePool(const UmemLayout& layout);

  // Takes up to out.size() frames, returns how many; out holds addresses of frame starts.
  uint32_t Take(absl::Span<uint64_t> out);
  // Takes a frame back; `address` may point anywhere into it. False, and nothing changes, when the
  // address is outside the area or the frame is not outstanding.
  bool Give(uint64_t address);

  uint32_t available() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t outstanding() const { return layout_.frame_count - available(); }

 private:
  const UmemLayout layout_;
  std::vector<uint64_t> free_;  // last in, first out: the warmest frame goes out first
  std::vector<bool> out_;       // by frame number
};

}  // namespace cipe::xsk
