// Anonymous memory that is handed to the other process as a descriptor and wiped by its reader.
// Sealed against change of size, so that the reader's mapping cannot fault (memfd_create(2)); not
// against writing, because then nobody could wipe it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace cipe::ipc {

// A shared mapping, unmapped on destruction.
class Mapping {
 public:
  // `size` octets of `fd` from its start, readable and writable.
  static absl::StatusOr<Mapping> Map(int fd, size_t size);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping();

  absl::Span<uint8_t> octets() const { return {data_, size_}; }
  void Wipe();

 private:
  Mapping(uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t* data_;
  size_t size_;
};

// A sealed memfd of `size` octets (> 0), all zero. `name` shows in /proc/PID/fd.
absl::StatusOr<UniqueFd> MakeSealedMemfd(const char* name, size_t size);

// Size of a memfd that somebody else made; InvalidArgument unless it is sealed against shrinking
// and its size lies in 1..`most`.
absl::StatusOr<size_t> CheckSealedMemfd(int fd, size_t most);

// A sealed memfd with these octets: how Hello::seal_key is made.
absl::StatusOr<UniqueFd> MemfdFromOctets(const char* name, absl::Span<const uint8_t> octets);

// Copies exactly out.size() octets out of such a memfd and wipes it.
absl::Status TakeFromMemfd(int fd, absl::Span<uint8_t> out);

}  // namespace cipe::ipc
