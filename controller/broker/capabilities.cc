#include "broker/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

absl::Status Failed(const char* call) {
  return absl::InternalError(absl::StrCat(call, ": ", strerror(errno)));
}

}  // namespace

absl::Status KeepCapabilities(absl::Span<const int> kept) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, now) != 0) return Failed("capget");
  __user_cap_data_struct next[_LINUX_CAPABILITY_U32S_3] = {};
  for (const int capability : kept) {
    const uint32_t bit = CAP_TO_MASK(capability);
    next[CAP_TO_INDEX(capability)].permitted |= now[CAP_TO_INDEX(capability)].permitted & bit;
  }
  for (__user_cap_data_struct& word : next) word.effective = word.permitted;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (syscall(SYS_capset, &header, next) != 0) return Failed("capset");
  return absl::OkStatus();
}

absl::Status DropBoundingSet() {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability) != 0) return Failed("PR_CAPBSET_DROP");
  }
  return absl::OkStatus();
}

absl::Span<const int> BrokerCapabilities() {
  static constexpr int kNeeded[] = {
      CAP_NET_ADMIN,         // netdevs, addresses, routes, rules, SO_MARK, XDP
      CAP_NET_RAW,           // AF_XDP sockets (xsk_create)
      CAP_NET_BIND_SERVICE,  // ListenPort below 1024
      CAP_BPF,               // maps and the XDP program
      CAP_PERFMON,           // the verifier wants it of a program that subtracts packet pointers
      CAP_IPC_LOCK,          // the UMEM is not counted against RLIMIT_MEMLOCK
      CAP_DAC_READ_SEARCH,   // root's files in somebody's home
      CAP_CHOWN,             // control socket and log file to group cipe
      CAP_KILL,              // an engine that hangs: another user's process
      // The engine's way down: another user, no capability, an empty root.
      CAP_SETUID,
      CAP_SETGID,
      CAP_SETPCAP,
      CAP_SYS_CHROOT,
  };
  return kNeeded;
}

}  // namespace cipe::broker
