// The XDP program cipe_xdp with its own XSKMAP and carrier map: one object per carrier interface.
// Only native XDP, attached by a bpf_link that this object owns: when its last descriptor is
// closed, by whatever end of the process, the program is gone. Nothing is pinned and somebody
// else's program is never replaced.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "steering/maps.h"

struct cipe_xdp;  // the skeleton

namespace cipe::steering {

struct ProgramOptions {
  // Control frames a source (IPv4 address, IPv6 /64) may send to the kernel's socket, per second
  // and at once. A rate of 0 switches the limit off.
  uint32_t control_rate = 200;
  uint32_t control_burst = 400;
};

struct AttachedProgram {
  uint32_t id = 0;
  std::string name;  // empty when the kernel does not tell
  std::string mode;  // "native", "generic", "offloaded"
};

class XdpProgram {
 public:
  // Opens, configures and verifies the program on top of the shared maps. PermissionDenied without
  // CAP_BPF and CAP_NET_ADMIN; FailedPrecondition with the end of the verifier's log when refused.
  static absl::StatusOr<XdpProgram> Load(const MapSet& maps, const ProgramOptions& options);

  XdpProgram(XdpProgram&&) noexcept;
  XdpProgram& operator=(XdpProgram&&) noexcept;
  ~XdpProgram();

  // Attaches to interface `ifindex` of the calling thread's network namespace. FailedPrecondition
  // names another program that is there (name, id); Unimplemented when the driver has no native
  // XDP; OutOfRange when the MTU is too big for it. Set sockets and carrier before.
  absl::Status Attach(uint32_t ifindex);
  // Takes the place of the program in a bpf_link that another daemon made, at once and without a
  // gap (bpf(2), BPF_LINK_UPDATE). FailedPrecondition when it is no link to `ifindex`.
  absl::Status Adopt(UniqueFd link, uint32_t ifindex);
  // The same for our own link: whoever adopted it in between has failed.
  absl::Status Reclaim();
  // Removes the program from the interface; sockets stay in the XSKMAP. No-op when not attached.
  void Detach();
  bool attached() const { return link_.valid(); }

  // Frames with this destination MAC are for us. `queues` is told to people only.
  absl::Status SetCarrier(const std::array<uint8_t, 6>& mac, uint32_t queues);
  // Frames of RX queue `queue` (< CIPE_MAX_QUEUES) go to this AF_XDP socket, bound to that queue.
  absl::Status SetSocket(uint32_t queue, int xsk_fd);
  // They pass to the kernel again. A closed socket leaves by itself.
  absl::Status ClearSocket(uint32_t queue);

  int program_fd() const;
  int xsks_fd() const;  // for who swaps sockets without privilege
  int carrier_fd() const;
  int link_fd() const { return link_.get(); }
  uint32_t program_id() const { return program_id_; }

 private:
  struct SkeletonDeleter {
    void operator()(cipe_xdp* skeleton) const;
  };
  explicit XdpProgram(std::unique_ptr<cipe_xdp, SkeletonDeleter> skeleton);

  std::unique_ptr<cipe_xdp, SkeletonDeleter> skeleton_;
  UniqueFd link_;
  uint32_t program_id_ = 0;
};

// Whose XDP program is on the interface, if any; not our own business to change.
absl::StatusOr<std::optional<AttachedProgram>> QueryAttached(uint32_t ifindex);

}  // namespace cipe::steering
