#include "steering/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cipe_xdp.skel.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <string.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "steering/libbpf_log.h"

namespace cipe::steering {
namespace {

constexpr MapId kShared[] = {MapId::kListeners, MapId::kSessions, MapId::kDrops, MapId::kPeerStats,
                             MapId::kControlSources};

std::string InterfaceName(uint32_t ifindex) {
  char name[IF_NAMESIZE];
  return if_indextoname(ifindex, name) ? name : absl::StrCat("ifindex ", ifindex);
}

std::string ProgramName(uint32_t id) {
  UniqueFd fd(bpf_prog_get_fd_by_id(id));
  if (!fd.valid()) return "";
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &length) != 0) return "";
  return info.name;
}

absl::Status LoadFailure(const char* step, int error, const LibbpfLog& log) {
  const std::string text = absl::StrCat("XDP program cipe_xdp: ", step, ": ", strerror(error));
  if (error == EPERM) {
    return absl::PermissionDeniedError(absl::StrCat(text, " (needs CAP_BPF and CAP_NET_ADMIN)"));
  }
  return absl::FailedPreconditionError(absl::StrCat(text, "; libbpf: ", log.Tail()));
}

absl::Status Occupied(uint32_t ifindex, const AttachedProgram& other) {
  return absl::FailedPreconditionError(
      absl::StrCat(InterfaceName(ifindex), " already has the XDP program '", other.name, "' (id ",
                   other.id, ", ", other.mode, "); it is left alone"));
}

// Errnos that drivers give for XDP_FLAGS_DRV_MODE; veth's and virtio_net's were read in their code.
absl::Status AttachFailure(uint32_t ifindex, int error) {
  const std::string text =
      absl::StrCat("attaching XDP to ", InterfaceName(ifindex), ": ", strerror(error));
  switch (error) {
    case EOPNOTSUPP:
      return absl::UnimplementedError(
          absl::StrCat(text, ": driver has no native XDP, or not with its present offloads"));
    case ERANGE:
      return absl::OutOfRangeError(
          absl::StrCat(text, ": MTU too big for XDP (on a veth, of its peer)"));
    case ENOSPC:
      return absl::FailedPreconditionError(
          absl::StrCat(text, ": fewer RX queues than the peer has TX queues"));
    case EINVAL:
      return absl::FailedPreconditionError(
          absl::StrCat(text, ": refused by the driver (MTU too big for one buffer, most often)"));
    case ENOMEM:
      return absl::ResourceExhaustedError(
          absl::StrCat(text, ": too few queues or too little memory for XDP"));
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(text, " (needs CAP_NET_ADMIN)"));
    case ENODEV:
      return absl::NotFoundError(text);
    default:
      return absl::FailedPreconditionError(text);
  }
}

}  // namespace

absl::StatusOr<std::optional<AttachedProgram>> QueryAttached(uint32_t ifindex) {
  bpf_xdp_query_opts query{};
  query.sz = sizeof query;
  if (const int error = bpf_xdp_query(static_cast<int>(ifindex), 0, &query); error != 0) {
    const std::string text = absl::StrCat("asking for the XDP program of ", InterfaceName(ifindex),
                                          ": ", strerror(-error));
    return error == -ENODEV ? absl::NotFoundError(text) : absl::InternalError(text);
  }
  AttachedProgram found;
  if (query.drv_prog_id != 0) {
    found = {query.drv_prog_id, "", "native"};
  } else if (query.skb_prog_id != 0) {
    found = {query.skb_prog_id, "", "generic"};
  } else if (query.hw_prog_id != 0) {
    found = {query.hw_prog_id, "", "offloaded"};
  } else {
    return std::optional<AttachedProgram>();
  }
  found.name = ProgramName(found.id);
  return std::optional<AttachedProgram>(found);
}

void XdpProgram::SkeletonDeleter::operator()(cipe_xdp* skeleton) const {
  cipe_xdp__destroy(skeleton);
}

XdpProgram::XdpProgram(std::unique_ptr<cipe_xdp, SkeletonDeleter> skeleton)
    : skeleton_(std::move(skeleton)) {}
XdpProgram::XdpProgram(XdpProgram&&) noexcept = default;
XdpProgram& XdpProgram::operator=(XdpProgram&&) noexcept = default;
XdpProgram::~XdpProgram() = default;

absl::StatusOr<XdpProgram> XdpProgram::Load(const MapSet& maps, const ProgramOptions& options) {
  LibbpfLog log;
  std::unique_ptr<cipe_xdp, SkeletonDeleter> skeleton(cipe_xdp__open());
  if (skeleton == nullptr) return LoadFailure("open", errno, log);
  skeleton->rodata->cipe_control_rate = options.control_rate;
  skeleton->rodata->cipe_control_burst = options.control_burst;
  for (MapId id : kShared) {
    bpf_map* map = bpf_object__find_map_by_name(skeleton->obj, MapName(id));
    if (map == nullptr) return absl::InternalError(absl::StrCat("object lacks ", MapName(id)));
    if (const int error = bpf_map__reuse_fd(map, maps.fd(id)); error != 0) {
      return LoadFailure(MapName(id), -error, log);
    }
  }
  if (const int error = cipe_xdp__load(skeleton.get()); error != 0) {
    return LoadFailure("load", -error, log);
  }
  XdpProgram program(std::move(skeleton));
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(program.program_fd(), &info, &length) != 0) {
    return LoadFailure("info", errno, log);
  }
  program.program_id_ = info.id;
  return program;
}

absl::Status XdpProgram::Attach(uint32_t ifindex) {
  if (attached()) return absl::FailedPreconditionError("XDP program is attached already");
  CIPE_ASSIGN_OR_RETURN(const std::optional<AttachedProgram> other, QueryAttached(ifindex));
  if (other.has_value()) return Occupied(ifindex, *other);
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.flags = XDP_FLAGS_DRV_MODE;  // without it the kernel would fall back to generic mode
  const int fd = bpf_link_create(program_fd(), static_cast<int>(ifindex), BPF_XDP, &options);
  if (fd >= 0) {
    link_.reset(fd);
    return absl::OkStatus();
  }
  const int error = -fd;
  // Somebody was faster between the question and the answer: say who.
  if (error == EBUSY || error == EEXIST) {
    CIPE_ASSIGN_OR_RETURN(const std::optional<AttachedProgram> winner, QueryAttached(ifindex));
    if (winner.has_value()) return Occupied(ifindex, *winner);
  }
  return AttachFailure(ifindex, error);
}

absl::Status XdpProgram::Adopt(UniqueFd link, uint32_t ifindex) {
  bpf_link_info info{};
  uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0 || info.type != BPF_LINK_TYPE_XDP ||
      info.xdp.ifindex != ifindex) {
    return absl::FailedPreconditionError(
        absl::StrCat("no XDP link to ", InterfaceName(ifindex), " was handed over"));
  }
  link_ = std::move(link);
  return Reclaim();
}

absl::Status XdpProgram::Reclaim() {
  if (!attached()) return absl::OkStatus();
  if (bpf_link_update(link_.get(), program_fd(), nullptr) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("replacing the program in an XDP link: ", strerror(errno)));
}

void XdpProgram::Detach() {
  if (!attached()) return;
  // Closing is not enough when another process (the engine, a descriptor store) has a copy.
  bpf_link_detach(link_.get());
  link_.reset();
}

absl::Status XdpProgram::SetCarrier(const std::array<uint8_t, 6>& mac, uint32_t queues) {
  cipe_carrier carrier{};
  memcpy(carrier.mac, mac.data(), mac.size());
  carrier.queues = queues;
  const uint32_t zero = 0;
  return internal::UpdateElement(carrier_fd(), "cipe_carrier", &zero, &carrier, BPF_ANY);
}

absl::Status XdpProgram::SetSocket(uint32_t queue, int xsk_fd) {
  if (queue >= CIPE_MAX_QUEUES) {
    return absl::OutOfRangeError(
        absl::StrCat("RX queue ", queue, " is beyond the ", CIPE_MAX_QUEUES, " that are steered"));
  }
  return internal::UpdateElement(xsks_fd(), "cipe_xsks", &queue, &xsk_fd, BPF_ANY);
}

absl::Status XdpProgram::ClearSocket(uint32_t queue) {
  return internal::DeleteElement(xsks_fd(), "cipe_xsks", &queue).status();
}

int XdpProgram::program_fd() const { return bpf_program__fd(skeleton_->progs.cipe_xdp); }
int XdpProgram::xsks_fd() const { return bpf_map__fd(skeleton_->maps.cipe_xsks); }
int XdpProgram::carrier_fd() const { return bpf_map__fd(skeleton_->maps.cipe_carrier); }

}  // namespace cipe::steering
