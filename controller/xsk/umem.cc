#include "xsk/umem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::xsk {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr uint32_t kMaxFrames = 65536;

absl::StatusOr<uint8_t*> MapArea(int fd, uint64_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("UMEM of ", bytes, " octets cannot be mapped: ", strerror(errno)));
  }
  return static_cast<uint8_t*>(data);
}

}  // namespace

absl::Status UmemLayout::Validate() const {
  if (frame_size != 2048 && frame_size != 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("UMEM frame size ", frame_size, " is neither 2048 nor 4096"));
  }
  if (!std::has_single_bit(frame_count) || frame_count < 2 || frame_count > kMaxFrames) {
    return absl::InvalidArgumentError(absl::StrCat("UMEM frame count ", frame_count,
                                                   " is no power of two from 2 to ", kMaxFrames));
  }
  if (headroom > frame_size / 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("UMEM headroom ", headroom, " is above half a frame (", frame_size / 2, ")"));
  }
  return absl::OkStatus();
}

UmemRegion::UmemRegion(UniqueFd fd, const UmemLayout& layout, uint8_t* data)
    : fd_(std::move(fd)), layout_(layout), data_(data) {}

UmemRegion::UmemRegion(UmemRegion&& other) noexcept
    : fd_(std::move(other.fd_)),
      layout_(other.layout_),
      data_(std::exchange(other.data_, nullptr)) {}

UmemRegion& UmemRegion::operator=(UmemRegion&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr) munmap(data_, size());
  fd_ = std::move(other.fd_);
  layout_ = other.layout_;
  data_ = std::exchange(other.data_, nullptr);
  return *this;
}

UmemRegion::~UmemRegion() {
  if (data_ != nullptr) munmap(data_, size());
}

absl::StatusOr<UmemRegion> UmemRegion::Create(const UmemLayout& layout) {
  CIPE_RETURN_IF_ERROR(layout.Validate());
  UniqueFd fd(memfd_create("cipe-umem", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) {
    return absl::ResourceExhaustedError(absl::StrCat("memfd for UMEM: ", strerror(errno)));
  }
  if (ftruncate(fd.get(), static_cast<off_t>(layout.bytes())) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("memfd of ", layout.bytes(), " octets for UMEM: ", strerror(errno)));
  }
  CIPE_ASSIGN_OR_RETURN(uint8_t * data, MapArea(fd.get(), layout.bytes()));
  return UmemRegion(std::move(fd), layout, data);
}

absl::StatusOr<UmemRegion> UmemRegion::Adopt(UniqueFd fd, const UmemLayout& layout) {
  CIPE_RETURN_IF_ERROR(layout.Validate());
  struct stat info;
  if (fstat(fd.get(), &info) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("UMEM descriptor: ", strerror(errno)));
  }
  if (static_cast<uint64_t>(info.st_size) != layout.bytes()) {
    return absl::FailedPreconditionError(
        absl::StrCat("UMEM descriptor has ", info.st_size, " octets, expected ", layout.bytes()));
  }
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return absl::FailedPreconditionError("UMEM descriptor is not sealed against shrinking");
  }
  CIPE_ASSIGN_OR_RETURN(uint8_t * data, MapArea(fd.get(), layout.bytes()));
  return UmemRegion(std::move(fd), layout, data);
}

bool UmemRegion::Holds(uint64_t address, uint32_t length) const {
  if (address >= size()) return false;
  return length <= layout_.frame_size - (address - FrameOf(address));
}

FramePool::FramePool(const UmemLayout& layout) : layout_(layout), out_(layout.frame_count, false) {
  free_.reserve(layout.frame_count);
  for (uint32_t i = layout.frame_count; i-- > 0;) {
    free_.push_back(uint64_t{i} * layout.frame_size);
  }
}

uint32_t FramePool::Take(absl::Span<uint64_t> out) {
  uint32_t taken = 0;
  while (taken < out.size() && !free_.empty()) {
    const uint64_t address = free_.back();
    free_.pop_back();
    out_[address / layout_.frame_size] = true;
    out[taken++] = address;
  }
  return taken;
}

bool FramePool::Give(uint64_t address) {
  const uint64_t frame = address / layout_.frame_size;
  if (frame >= layout_.frame_count || !out_[frame]) return false;
  out_[frame] = false;
  free_.push_back(frame * layout_.frame_size);  // never reallocates: reserved for every frame
  return true;
}

}  // namespace cipe::xsk
