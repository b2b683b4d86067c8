#include "ports/tun_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "packet/virtio_header.h"

// Linux 6.2; the headers of Debian 12 do not know them.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace cipe::ports {
namespace {

constexpr char kTunPath[] = "/dev/net/tun";

absl::Status OpenError(int error) {
  const std::string text = absl::StrCat("cannot open ", kTunPath, ": ", strerror(error));
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return absl::UnavailableError(absl::StrCat(text, "; load the module with \"modprobe tun\""));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(text, "; ciped must be started as root"));
    default:
      return absl::InternalError(text);
  }
}

absl::Status CreateError(const std::string& name, int error) {
  const std::string text = absl::StrCat("cannot create netdev ", name, ": ", strerror(error));
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(absl::StrCat(text, "; this needs CAP_NET_ADMIN"));
    case EBUSY:
    case EEXIST:
      return absl::AlreadyExistsError(absl::StrCat(
          "cannot create netdev ", name, ": a netdev of that name exists; see \"ip link show ",
          name, "\", remove it or rename the tunnel"));
    case EINVAL:
      return absl::InvalidArgumentError(
          absl::StrCat(text, "; the kernel refuses the name or has no IFF_VNET_HDR"));
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<UniqueFd> OpenQueue(const std::string& name, short flags) {
  UniqueFd fd(open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return OpenError(errno);
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = flags;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) return CreateError(name, errno);
  int header_size = sizeof(packet::VnetHeader);
  if (ioctl(fd.get(), TUNSETVNETHDRSZ, &header_size) != 0) {
    return absl::InternalError(
        absl::StrCat("netdev ", name, ": cannot set the vnet header size: ", strerror(errno)));
  }
  return fd;
}

bool SetOffload(int fd, unsigned flags) {
  return ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(flags)) == 0;
}

// The most that the kernel takes: 6.1 refuses USO with EINVAL.
TunFeatures ProbeOffloads(int fd) {
  constexpr unsigned kTso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (SetOffload(fd, kTso | TUN_F_USO4 | TUN_F_USO6)) return {true, true, true};
  if (SetOffload(fd, kTso)) return {true, true, false};
  if (SetOffload(fd, TUN_F_CSUM)) return {true, false, false};
  return {};
}

}  // namespace

absl::StatusOr<TunDevice> CreateTunDevice(const TunOptions& options) {
  if (options.name.empty() || options.name.size() >= IFNAMSIZ ||
      options.name.find_first_of("%/ \t\n") != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", options.name,
                                                   "\" is no netdev name: 1 to 15 characters "
                                                   "without space, slash or percent sign"));
  }
  if (options.queues < 1 || options.queues > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("netdev ", options.name, ": ", options.queues, " queues, must be 1 to 64"));
  }
  int flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (options.queues > 1) flags |= IFF_MULTI_QUEUE;
  TunDevice device;
  device.name = options.name;
  for (int i = 0; i < options.queues; ++i) {
    // Exclusive at first: never become another queue of somebody's persistent device.
    const int exclusive = i == 0 ? IFF_TUN_EXCL : 0;
    CIPE_ASSIGN_OR_RETURN(UniqueFd fd,
                          OpenQueue(options.name, static_cast<short>(flags | exclusive)));
    device.queues.push_back(std::move(fd));
  }
  if (options.offloads) device.features = ProbeOffloads(device.queues[0].get());
  return device;
}

bool TunAttached(int queue) {
  ifreq request{};
  return ioctl(queue, TUNGETIFF, &request) == 0;
}

}  // namespace cipe::ports
