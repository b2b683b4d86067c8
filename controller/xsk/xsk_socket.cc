#include "xsk/xsk_socket.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include <bit>
#include <thread>
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

constexpr auto kBusyStep = std::chrono::milliseconds(10);

struct Target {
  uint32_t ifindex;
  uint32_t queue;
  std::string Name() const {
    char name[IF_NAMESIZE];
    return absl::StrCat("AF_XDP socket on ",
                        if_indextoname(ifindex, name) ? name : absl::StrCat("ifindex ", ifindex),
                        " queue ", queue);
  }
};

// A bound socket, or the step and errno that failed.
struct Attempt {
  UniqueFd fd;
  const char* step = nullptr;
  int error = 0;
};

Attempt Fail(const char* step) { return {UniqueFd(), step, errno}; }

bool SetRing(int fd, int option, uint32_t entries) {
  return entries == 0 || setsockopt(fd, SOL_XDP, option, &entries, sizeof entries) == 0;
}

// A fresh socket each time: what a failed bind leaves of the old one differs between kernels.
Attempt TryBind(const Target& target, const UmemRegion& umem, const RingSizes& rings,
                uint16_t mode_flag) {
  Attempt attempt;
  attempt.fd.reset(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  const int fd = attempt.fd.get();
  if (fd < 0) return Fail("socket");
  xdp_umem_reg area{};
  area.addr = reinterpret_cast<uint64_t>(umem.data());
  area.len = umem.size();
  area.chunk_size = umem.layout().frame_size;
  area.headroom = umem.layout().headroom;
  if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &area, sizeof area) != 0) return Fail("XDP_UMEM_REG");
  if (!SetRing(fd, XDP_UMEM_FILL_RING, rings.fill)) return Fail("XDP_UMEM_FILL_RING");
  if (!SetRing(fd, XDP_UMEM_COMPLETION_RING, rings.completion))
    return Fail("XDP_UMEM_COMPLETION_RING");
  if (!SetRing(fd, XDP_RX_RING, rings.rx)) return Fail("XDP_RX_RING");
  if (!SetRing(fd, XDP_TX_RING, rings.tx)) return Fail("XDP_TX_RING");
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_ifindex = target.ifindex;
  address.sxdp_queue_id = target.queue;
  address.sxdp_flags = static_cast<uint16_t>(mode_flag | XDP_USE_NEED_WAKEUP);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Fail("bind");
  return attempt;
}

Attempt BindWaiting(const Target& target, const UmemRegion& umem, const XskOptions& options,
                    uint16_t mode_flag) {
  const auto end = std::chrono::steady_clock::now() + options.busy_wait;
  for (;;) {
    Attempt attempt = TryBind(target, umem, options.rings, mode_flag);
    if (attempt.error != EBUSY || std::chrono::steady_clock::now() >= end) return attempt;
    std::this_thread::sleep_for(kBusyStep);
  }
}

absl::Status ToStatus(const Target& target, const UmemRegion& umem, const Attempt& attempt) {
  const std::string text =
      absl::StrCat(target.Name(), ": ", attempt.step, ": ", strerror(attempt.error));
  switch (attempt.error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat(text, " (needs CAP_NET_RAW)"));
    case ENODEV:
      return absl::NotFoundError(absl::StrCat(text, " (no such interface)"));
    case EINVAL:
      if (absl::string_view(attempt.step) != "bind") break;
      return absl::NotFoundError(
          absl::StrCat(text, " (no such queue, or the interface is no more)"));
    case EBUSY:
      return absl::FailedPreconditionError(
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
          absl::StrCat(text, " (UMEM of ", umem.size(),
                       " octets; raise RLIMIT_MEMLOCK, or run with CAP_IPC_LOCK)"));
    default:
      break;
  }
  return absl::InternalError(text);
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

absl::StatusOr<XskSocket> XskSocket::Create(uint32_t ifindex, uint32_t queue,
                                            const UmemRegion& umem, const XskOptions& options) {
  CIPE_RETURN_IF_ERROR(options.rings.Validate());
  const Target target{ifindex, queue};
  XskSocket made;
  made.queue_ = queue;
  made.rings_ = options.rings;
  Attempt attempt;
  if (options.mode != CopyMode::kCopy) {
    attempt = BindWaiting(target, umem, options, XDP_ZEROCOPY);
  }
  if (options.mode == CopyMode::kCopy || (options.mode == CopyMode::kAuto && attempt.error != 0)) {
    if (attempt.error != 0) {
      made.copy_reason_ = absl::StrCat(
          "no zero copy: ", attempt.step, ": ",
          attempt.error == EOPNOTSUPP ? "driver does not support it" : strerror(attempt.error));
    }
    attempt = BindWaiting(target, umem, options, XDP_COPY);
  }
  if (attempt.error != 0) return ToStatus(target, umem, attempt);
  xdp_options state{};
  socklen_t length = sizeof state;
  if (getsockopt(attempt.fd.get(), SOL_XDP, XDP_OPTIONS, &state, &length) != 0) {
    return absl::InternalError(absl::StrCat(target.Name(), ": XDP_OPTIONS: ", strerror(errno)));
  }
  made.zero_copy_ = (state.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  made.fd_ = std::move(attempt.fd);
  return made;
}

}  // namespace cipe::xsk
