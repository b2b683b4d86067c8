// RxQueueCount of xsk_socket.h.
#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "xsk/xsk_socket.h"

namespace cipe::xsk {
namespace {

std::optional<uint32_t> FromChannels(const std::string& interface) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return std::nullopt;
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  memcpy(request.ifr_name, interface.data(), interface.size());
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (ioctl(fd.get(), SIOCETHTOOL, &request) != 0) return std::nullopt;
  const uint32_t count = channels.rx_count + channels.combined_count;
  if (count == 0) return std::nullopt;
  return count;
}

std::optional<uint32_t> FromSysfs(const std::string& interface) {
  DIR* directory = opendir(absl::StrCat("/sys/class/net/", interface, "/queues").c_str());
  if (directory == nullptr) return std::nullopt;
  uint32_t count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (absl::StartsWith(entry->d_name, "rx-")) ++count;
  }
  closedir(directory);
  if (count == 0) return std::nullopt;
  return count;
}

}  // namespace

absl::StatusOr<uint32_t> RxQueueCount(const std::string& interface) {
  if (interface.empty() || interface.size() >= IFNAMSIZ || absl::StrContains(interface, '/')) {
    return absl::InvalidArgumentError(absl::StrCat("'", interface, "' is no interface name"));
  }
  if (if_nametoindex(interface.c_str()) == 0) {
    return absl::NotFoundError(absl::StrCat("interface ", interface, ": ", strerror(errno)));
  }
  if (auto count = FromChannels(interface)) return *count;
  // Shows the namespace that /sys was mounted in, hence only second.
  if (auto count = FromSysfs(interface)) return *count;
  return absl::UnavailableError(absl::StrCat(
      "interface ", interface, " tells its RX queues neither by ETHTOOL_GCHANNELS nor in /sys"));
}

}  // namespace cipe::xsk
