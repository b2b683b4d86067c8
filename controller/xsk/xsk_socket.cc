#include "xsk/xsk_socket.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace cipe::xsk {
namespace {

bool SetRing(int fd, int option, uint32_t entries) {
  return entries == 0 || setsockopt(fd, SOL_XDP, option, &entries, sizeof entries) == 0;
}

absl::Status CheckRing(const char* name, uint32_t entries, bool required) {
  if (entries == 0 && !required) return absl::OkStatus();
  if (std::has_single_bit(entries) && entries <= 65536) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " ring of ", entries, " entries is no power of two up to 65536"));
}

}  // namespace

absl::Status RingSizes::Validate() const {
  CIPE_RETURN_IF_ERROR(CheckRing("fill", fill, true));
  CIPE_RETURN_IF_ERROR(CheckRing("completion", completion, true));
  CIPE_RETURN_IF_ERROR(CheckRing("RX", rx, false));
  CIPE_RETURN_IF_ERROR(CheckRing("TX", tx, false));
  if (rx == 0 && tx == 0) return absl::InvalidArgumentError("socket with neither RX nor TX ring");
  return absl::OkStatus();
}

absl::StatusOr<XskSocket> XskSocket::Open(uint32_t ifindex, uint32_t queue, const UmemRegion& umem,
                                          const XskOptions& options) {
  CIPE_RETURN_IF_ERROR(options.rings.Validate());
  XskSocket made;
  made.ifindex_ = ifindex;
  made.queue_ = queue;
  made.umem_size_ = umem.size();
  made.options_ = options;
  made.fd_.reset(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int fd = made.fd();
  if (fd < 0) return made.ToStatus("socket", errno);
  xdp_umem_reg area{};
  area.addr = reinterpret_cast<uint64_t>(umem.data());
  area.len = umem.size();
  area.chunk_size = umem.layout().frame_size;
  area.headroom = umem.layout().headroom;
  if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &area, sizeof area) != 0)
    return made.ToStatus("XDP_UMEM_REG", errno);
  const RingSizes& rings = options.rings;
  if (!SetRing(fd, XDP_UMEM_FILL_RING, rings.fill))
    return made.ToStatus("XDP_UMEM_FILL_RING", errno);
  if (!SetRing(fd, XDP_UMEM_COMPLETION_RING, rings.completion))
    return made.ToStatus("XDP_UMEM_COMPLETION_RING", errno);
  if (!SetRing(fd, XDP_RX_RING, rings.rx)) return made.ToStatus("XDP_RX_RING", errno);
  if (!SetRing(fd, XDP_TX_RING, rings.tx)) return made.ToStatus("XDP_TX_RING", errno);
  return made;
}

// 0 or errno. A bind that fails leaves the socket, its rings and who mapped them as they were
// (net/xdp/xsk.c, xsk_bind): the same one may be tried in another mode.
int XskSocket::TryBind(uint16_t mode_flag) {
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = ifindex_;
  address.sxdp_queue_id = queue_;
  address.sxdp_flags = static_cast<uint16_t>(mode_flag | XDP_USE_NEED_WAKEUP);
  return bind(fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

absl::Status XskSocket::Bind() {
  copy_reason_.clear();
  int error = 0;
  if (options_.mode != CopyMode::kCopy) error = TryBind(XDP_ZEROCOPY);
  if (options_.mode == CopyMode::kAuto && error != 0 && error != EBUSY) {
    copy_reason_ =
        absl::StrCat("no zero copy: bind: ",
                     error == EOPNOTSUPP ? "driver does not support it" : strerror(error));
  }
  if (options_.mode == CopyMode::kCopy || !copy_reason_.empty()) error = TryBind(XDP_COPY);
  if (error != 0) return ToStatus("bind", error);
  xdp_options state{};
  socklen_t length = sizeof state;
  if (getsockopt(fd(), SOL_XDP, XDP_OPTIONS, &state, &length) != 0)
    return ToStatus("XDP_OPTIONS", errno);
  zero_copy_ = (state.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  bound_ = true;
  return absl::OkStatus();
}

std::string XskSocket::Name() const {
  char name[IF_NAMESIZE];
  return absl::StrCat("AF_XDP socket on ",
                      if_indextoname(ifindex_, name) ? name : absl::StrCat("ifindex ", ifindex_),
                      " queue ", queue_);
}

absl::Status XskSocket::ToStatus(const char* step, int error) const {
  const std::string text = absl::StrCat(Name(), ": ", step, ": ", strerror(error));
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat(text, " (needs CAP_NET_RAW)"));
    case ENODEV:
      return absl::NotFoundError(absl::StrCat(text, " (no such interface)"));
    case EINVAL:
      if (absl::string_view(step) != "bind") break;
      return absl::NotFoundError(
          absl::StrCat(text, " (no such queue, or the interface is no more)"));
    case EBUSY:
      return absl::UnavailableError(
          absl::StrCat(text, " (another AF_XDP socket holds this queue)"));
    case EOPNOTSUPP:
    case EPROTONOSUPPORT:
      return absl::FailedPreconditionError(absl::StrCat(text, " (not supported by this driver)"));
    case ENETDOWN:
      return absl::FailedPreconditionError(absl::StrCat(text, " (set the interface up first)"));
    case EAFNOSUPPORT:
      return absl::FailedPreconditionError(
          absl::StrCat(text, " (kernel built without CONFIG_XDP_SOCKETS)"));
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(
          absl::StrCat(text, " (UMEM of ", umem_size_,
                       " octets; raise RLIMIT_MEMLOCK, or run with CAP_IPC_LOCK)"));
    default:
      break;
  }
  return absl::InternalError(text);
}

}  // namespace cipe::xsk
