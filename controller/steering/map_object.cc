#include "steering/map_object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cipe_maps.skel.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "steering/libbpf_log.h"

namespace cipe::steering::internal {
namespace {

struct Closer {
  void operator()(cipe_maps* object) const { cipe_maps__destroy(object); }
};

absl::Status Failure(const char* step, int error, const LibbpfLog& log) {
  const std::string text =
      absl::StrCat("making BPF maps: ", step, ": ", strerror(error), "; libbpf: ", log.Tail());
  if (error == EPERM) {
    return absl::PermissionDeniedError(absl::StrCat(text, " (needs CAP_BPF and CAP_NET_ADMIN)"));
  }
  if (error == ENOMEM) return absl::ResourceExhaustedError(text);
  return absl::InternalError(text);
}

}  // namespace

absl::StatusOr<std::array<UniqueFd, kMapCount>> MakeMaps() {
  LibbpfLog log;
  std::unique_ptr<cipe_maps, Closer> object(cipe_maps__open());
  if (object == nullptr) return Failure("open", errno, log);
  if (const int error = cipe_maps__load(object.get()); error != 0) {
    return Failure("load", -error, log);
  }
  std::array<UniqueFd, kMapCount> fds;
  for (int i = 0; i < kMapCount; ++i) {
    const bpf_map* map = bpf_object__find_map_by_name(object->obj, MapName(static_cast<MapId>(i)));
    if (map == nullptr) return absl::InternalError(absl::StrCat("object lacks map ", i));
    fds[i].reset(fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 3));
    if (!fds[i].valid()) return Failure("dup", errno, log);
  }
  return fds;
}

absl::StatusOr<MapShape> ShapeOf(int fd) {
  bpf_map_info info{};
  uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("descriptor ", fd, " is no BPF map: ", strerror(errno)));
  }
  return MapShape{info.type, info.key_size, info.value_size, info.max_entries};
}

MapShape ExpectedShape(MapId id) {
  switch (id) {
    case MapId::kListeners:
      return {BPF_MAP_TYPE_HASH, sizeof(cipe_listener_key), sizeof(cipe_listener),
              CIPE_MAX_LISTENERS};
    case MapId::kPeers:
      return {BPF_MAP_TYPE_HASH, 4, sizeof(cipe_peer), CIPE_MAX_PEERS};
    case MapId::kSessions:
      return {BPF_MAP_TYPE_HASH, 4, sizeof(cipe_session), CIPE_MAX_SESSIONS};
    case MapId::kSessionKeys:
      return {BPF_MAP_TYPE_HASH, 4, sizeof(cipe_session_key), CIPE_MAX_SESSIONS};
    case MapId::kLaneState:
      return {BPF_MAP_TYPE_ARRAY, 4, sizeof(cipe_lane_state), CIPE_MAX_LANE_SLOTS};
    case MapId::kDrops:
      return {BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(uint64_t), CIPE_DROP_REASONS};
    case MapId::kPeerStats:
      return {BPF_MAP_TYPE_PERCPU_HASH, 4, sizeof(cipe_peer_stats), CIPE_MAX_PEERS};
    case MapId::kControlSources:
      return {BPF_MAP_TYPE_LRU_HASH, sizeof(cipe_source_key), sizeof(cipe_source_bucket),
              CIPE_MAX_SOURCES};
  }
  return {};
}

}  // namespace cipe::steering::internal
