// Untyped element operations behind the typed views of maps.h: one bpf(2) call each.
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "steering/maps.h"

namespace cipe::steering::internal {
namespace {

absl::Status Failure(const char* map, const char* what, int error) {
  const std::string text = absl::StrCat("BPF map ", map, ": ", what, ": ", strerror(error));
  if (error == E2BIG || error == ENOMEM || error == ENOSPC) {
    return absl::ResourceExhaustedError(text);
  }
  if (error == EPERM) return absl::PermissionDeniedError(text);
  return absl::InternalError(text);
}

}  // namespace

absl::Status UpdateElement(int fd, const char* map, const void* key, const void* value,
                           uint64_t flags) {
  if (bpf_map_update_elem(fd, key, value, flags) == 0) return absl::OkStatus();
  return Failure(map, "update", errno);
}

absl::StatusOr<bool> LookupElement(int fd, const char* map, const void* key, void* value,
                                   uint64_t flags) {
  if (bpf_map_lookup_elem_flags(fd, key, value, flags) == 0) return true;
  if (errno == ENOENT) return false;
  return Failure(map, "look-up", errno);
}

absl::StatusOr<bool> DeleteElement(int fd, const char* map, const void* key) {
  if (bpf_map_delete_elem(fd, key) == 0) return true;
  if (errno == ENOENT) return false;
  return Failure(map, "deletion", errno);
}

absl::StatusOr<std::vector<uint8_t>> AllKeys(int fd, const char* map, size_t key_size,
                                             size_t max_entries) {
  std::vector<uint8_t> keys;
  std::vector<uint8_t> next(key_size);
  const uint8_t* previous = nullptr;
  // A key deleted meanwhile restarts the kernel's walk at the front: the bound ends the loop.
  for (size_t i = 0; i < max_entries; ++i) {
    if (bpf_map_get_next_key(fd, previous, next.data()) != 0) {
      if (errno == ENOENT) return keys;
      return Failure(map, "walk", errno);
    }
    keys.insert(keys.end(), next.begin(), next.end());
    previous = keys.data() + keys.size() - key_size;
  }
  return keys;
}

}  // namespace cipe::steering::internal
