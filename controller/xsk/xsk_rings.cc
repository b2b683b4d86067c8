#include "xsk/xsk_rings.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace cipe::xsk {
namespace {

template <typename T>
absl::Status MapRing(int fd, const char* name, const xdp_ring_offset& offset, uint32_t entries,
                     uint64_t page_offset, RingMapping* mapping, RingWords<T>* words) {
  if (entries == 0) return absl::OkStatus();
  const size_t length = offset.desc + size_t{entries} * sizeof(T);
  void* base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                    static_cast<off_t>(page_offset));
  if (base == MAP_FAILED) {
    const bool bound = errno == EBUSY;  // the one reason that net/xdp/xsk.c has for it
    const std::string text = absl::StrCat("AF_XDP ", name, " ring of ", entries,
                                          " entries cannot be mapped: ", strerror(errno));
    return bound ? absl::FailedPreconditionError(text) : absl::InvalidArgumentError(text);
  }
  *mapping = RingMapping(base, length);
  uint8_t* start = mapping->base();
  words->producer = reinterpret_cast<uint32_t*>(start + offset.producer);
  words->consumer = reinterpret_cast<uint32_t*>(start + offset.consumer);
  words->flags = reinterpret_cast<uint32_t*>(start + offset.flags);
  words->entries = reinterpret_cast<T*>(start + offset.desc);
  words->size = entries;
  return absl::OkStatus();
}

// What the kernel says while it is merely busy: the wakeup stays wanted and is asked for again.
int WithoutPassing(int error) {
  return error == EAGAIN || error == EBUSY || error == ENOBUFS || error == EINTR ? 0 : error;
}

}  // namespace

RingMapping& RingMapping::operator=(RingMapping&& other) noexcept {
  if (this == &other) return *this;
  if (base_ != nullptr) munmap(base_, length_);
  base_ = std::exchange(other.base_, nullptr);
  length_ = std::exchange(other.length_, 0);
  return *this;
}

RingMapping::~RingMapping() {
  if (base_ != nullptr) munmap(base_, length_);
}

absl::StatusOr<XskRings> XskRings::Map(int fd, const RingSizes& sizes) {
  CIPE_RETURN_IF_ERROR(sizes.Validate());
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("descriptor ", fd, " is no AF_XDP socket: ", strerror(errno)));
  }
  if (length < sizeof offsets) {
    return absl::InvalidArgumentError("kernel without ring flags (older than 5.4)");
  }
  XskRings rings;
  rings.fd_ = fd;
  RingWords<uint64_t> fill, completion;
  RingWords<xdp_desc> rx, tx;
  CIPE_RETURN_IF_ERROR(MapRing(fd, "fill", offsets.fr, sizes.fill, XDP_UMEM_PGOFF_FILL_RING,
                               &rings.fill_map_, &fill));
  CIPE_RETURN_IF_ERROR(MapRing(fd, "completion", offsets.cr, sizes.completion,
                               XDP_UMEM_PGOFF_COMPLETION_RING, &rings.completion_map_,
                               &completion));
  CIPE_RETURN_IF_ERROR(
      MapRing(fd, "RX", offsets.rx, sizes.rx, XDP_PGOFF_RX_RING, &rings.rx_map_, &rx));
  CIPE_RETURN_IF_ERROR(
      MapRing(fd, "TX", offsets.tx, sizes.tx, XDP_PGOFF_TX_RING, &rings.tx_map_, &tx));
  rings.fill_ = ProducerRing<uint64_t>(fill);
  rings.completion_ = ConsumerRing<uint64_t>(completion);
  rings.rx_ = ConsumerRing<xdp_desc>(rx);
  rings.tx_ = ProducerRing<xdp_desc>(tx);
  return rings;
}

int XskRings::KickTx() {
  return sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0 ? WithoutPassing(errno) : 0;
}

int XskRings::KickRx() {
  return recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr) < 0 ? WithoutPassing(errno) : 0;
}

absl::StatusOr<xdp_statistics> XskRings::Statistics() const {
  xdp_statistics statistics{};
  socklen_t length = sizeof statistics;
  if (getsockopt(fd_, SOL_XDP, XDP_STATISTICS, &statistics, &length) != 0) {
    return absl::InternalError(absl::StrCat("XDP_STATISTICS: ", strerror(errno)));
  }
  return statistics;
}

}  // namespace cipe::xsk
