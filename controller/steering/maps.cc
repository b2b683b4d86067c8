#include "steering/maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "steering/map_object.h"

namespace cipe::steering {
namespace {

constexpr uint32_t kXdpReasons = 32;  // drop_reasons.def: 1-31 belong to the XDP program
constexpr size_t kLaneBytes = sizeof(cipe_lane_state) * CIPE_MAX_LANE_SLOTS;

// Per-CPU values come as one array over all possible CPUs, each padded to 8 octets.
absl::StatusOr<int> PossibleCpus() {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) {
    return absl::InternalError(absl::StrCat("number of possible CPUs: ", strerror(-cpus)));
  }
  return cpus;
}

}  // namespace

void PrepareLibrary() { libbpf_num_possible_cpus(); }

const char* MapName(MapId id) {
  static constexpr const char* kNames[kMapCount] = {
      "cipe_listeners",  "cipe_peers", "cipe_sessions",   "cipe_session_keys",
      "cipe_lane_state", "cipe_drops", "cipe_peer_stats", "cipe_control_sources"};
  return kNames[static_cast<int>(id)];
}

SessionKeyMap::SessionKeyMap(int fd) : HashMap(fd, MapId::kSessionKeys, BPF_F_LOCK) {}

absl::StatusOr<bool> SessionKeyMap::Delete(uint32_t session) const {
  CIPE_ASSIGN_OR_RETURN(const std::optional<cipe_session_key> present, Lookup(session));
  if (!present.has_value()) return false;
  CIPE_RETURN_IF_ERROR(Update(session, cipe_session_key{}));
  return HashMap::Delete(session);
}

absl::Status SessionKeyMap::WipeAll() const {
  CIPE_ASSIGN_OR_RETURN(const std::vector<uint32_t> sessions, Keys());
  absl::Status first;
  for (uint32_t session : sessions) {
    const absl::StatusOr<bool> deleted = Delete(session);
    if (first.ok()) first = deleted.status();
  }
  return first;
}

absl::StatusOr<MapSet> MapSet::Create() {
  MapSet maps;
  CIPE_ASSIGN_OR_RETURN(maps.fds_, internal::MakeMaps());
  return maps;
}

absl::StatusOr<MapSet> MapSet::FromFds(std::vector<UniqueFd> fds) {
  if (fds.size() != kMapCount) {
    return absl::FailedPreconditionError(
        absl::StrCat(fds.size(), " BPF map descriptors, expected ", kMapCount));
  }
  MapSet maps;
  for (int i = 0; i < kMapCount; ++i) {
    const MapId id = static_cast<MapId>(i);
    CIPE_ASSIGN_OR_RETURN(const internal::MapShape shape, internal::ShapeOf(fds[i].get()));
    if (shape != internal::ExpectedShape(id)) {
      return absl::FailedPreconditionError(
          absl::StrCat("BPF map ", MapName(id), " has another layout (type ", shape.type, ", key ",
                       shape.key_size, ", value ", shape.value_size, ", entries ",
                       shape.max_entries, "): it was made by another version of ciped"));
    }
    maps.fds_[i] = std::move(fds[i]);
  }
  return maps;
}

std::array<int, kMapCount> MapSet::Fds() const {
  std::array<int, kMapCount> fds;
  for (int i = 0; i < kMapCount; ++i) fds[i] = fds_[i].get();
  return fds;
}

absl::StatusOr<DropCounts> MapSet::Drops() const {
  CIPE_ASSIGN_OR_RETURN(const int cpus, PossibleCpus());
  std::vector<uint64_t> per_cpu(cpus);
  DropCounts counts{};
  for (uint32_t reason = 0; reason < kXdpReasons; ++reason) {
    CIPE_RETURN_IF_ERROR(internal::LookupElement(fd(MapId::kDrops), MapName(MapId::kDrops), &reason,
                                                 per_cpu.data(), 0)
                             .status());
    for (uint64_t count : per_cpu) counts[reason] += count;
  }
  return counts;
}

absl::StatusOr<cipe_peer_stats> MapSet::PeerStats(uint32_t peer) const {
  CIPE_ASSIGN_OR_RETURN(const int cpus, PossibleCpus());
  std::vector<cipe_peer_stats> per_cpu(cpus);
  CIPE_RETURN_IF_ERROR(internal::LookupElement(fd(MapId::kPeerStats), MapName(MapId::kPeerStats),
                                               &peer, per_cpu.data(), 0)
                           .status());
  cipe_peer_stats sum{};
  for (const cipe_peer_stats& one : per_cpu) {
    sum.steered_frames += one.steered_frames;
    sum.steered_bytes += one.steered_bytes;
  }
  return sum;
}

absl::Status MapSet::DeletePeerStats(uint32_t peer) const {
  return internal::DeleteElement(fd(MapId::kPeerStats), MapName(MapId::kPeerStats), &peer).status();
}

absl::StatusOr<LaneStateView> LaneStateView::Map(const MapSet& maps) {
  void* base =
      mmap(nullptr, kLaneBytes, PROT_READ | PROT_WRITE, MAP_SHARED, maps.fd(MapId::kLaneState), 0);
  if (base == MAP_FAILED) {
    return absl::InternalError(absl::StrCat("mapping cipe_lane_state: ", strerror(errno)));
  }
  return LaneStateView(static_cast<cipe_lane_state*>(base));
}

LaneStateView::LaneStateView(LaneStateView&& other) noexcept
    : slots_(std::exchange(other.slots_, nullptr)) {}

LaneStateView& LaneStateView::operator=(LaneStateView&& other) noexcept {
  if (this == &other) return *this;
  if (slots_ != nullptr) munmap(slots_, kLaneBytes);
  slots_ = std::exchange(other.slots_, nullptr);
  return *this;
}

LaneStateView::~LaneStateView() {
  if (slots_ != nullptr) munmap(slots_, kLaneBytes);
}

cipe_listener_key ListenerKey(const Endpoint& local, uint32_t vlan) {
  cipe_listener_key key{};
  memcpy(key.address, local.address.octets.data(), local.address.size());
  key.port = SwapBytes(local.port);
  key.family = static_cast<uint8_t>(local.address.family);
  key.vlan = vlan;
  return key;
}

}  // namespace cipe::steering
