#include "ipc/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "crypto/secret.h"

namespace cipe::ipc {

absl::StatusOr<Mapping> Mapping::Map(int fd, size_t size) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot map ", size, " octets of a memfd: ", strerror(errno)));
  }
  return Mapping(static_cast<uint8_t*>(p), size);
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

void Mapping::Wipe() { WipeMemory(data_, size_); }

absl::StatusOr<UniqueFd> MakeSealedMemfd(const char* name, size_t size) {
  UniqueFd fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(size)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make memfd ", name, " of ", size, " octets: ", strerror(errno)));
  }
  return fd;
}

absl::StatusOr<size_t> CheckSealedMemfd(int fd, size_t most) {
  const int seals = fcntl(fd, F_GET_SEALS);
  struct stat st {};
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) != 0) {
    return absl::InvalidArgumentError("descriptor is not a memfd sealed against shrinking");
  }
  if (st.st_size <= 0 || static_cast<uint64_t>(st.st_size) > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("memfd has ", st.st_size, " octets, at most ", most, " are accepted"));
  }
  return static_cast<size_t>(st.st_size);
}

absl::StatusOr<UniqueFd> MemfdFromOctets(const char* name, absl::Span<const uint8_t> octets) {
  CIPE_ASSIGN_OR_RETURN(UniqueFd fd, MakeSealedMemfd(name, octets.size()));
  CIPE_ASSIGN_OR_RETURN(const Mapping mapping, Mapping::Map(fd.get(), octets.size()));
  std::memcpy(mapping.octets().data(), octets.data(), octets.size());
  return fd;
}

absl::Status TakeFromMemfd(int fd, absl::Span<uint8_t> out) {
  CIPE_ASSIGN_OR_RETURN(const size_t size, CheckSealedMemfd(fd, out.size()));
  if (size != out.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("memfd has ", size, " octets, expected ", out.size()));
  }
  CIPE_ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(fd, size));
  std::memcpy(out.data(), mapping.octets().data(), size);
  mapping.Wipe();
  return absl::OkStatus();
}

}  // namespace cipe::ipc
