// Loads cipe_maps.bpf.o: how the daemon-wide maps come to be. For maps.cc only.
#pragma once

#include <array>

#include "absl/status/statusor.h"
#include "steering/maps.h"

namespace cipe::steering::internal {

// New maps in MapId order. PermissionDenied or Internal with libbpf's words.
absl::StatusOr<std::array<UniqueFd, kMapCount>> MakeMaps();

// What the kernel says of a map's shape.
struct MapShape {
  uint32_t type = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t max_entries = 0;
  friend bool operator==(const MapShape&, const MapShape&) = default;
};
absl::StatusOr<MapShape> ShapeOf(int fd);
// What it has to be; the same numbers as in bpf/maps.h and bpf/cipe_maps.bpf.c.
MapShape ExpectedShape(MapId id);

}  // namespace cipe::steering::internal
