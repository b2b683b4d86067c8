#include "broker/engine_sandbox.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::broker {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// Calls whose arguments do not matter: they only work on what the process has already.
constexpr int kAllowed[] = {
    // descriptors lent by the broker, and the loops around them
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg), SCMP_SYS(connect), SCMP_SYS(accept4), SCMP_SYS(shutdown),
    SCMP_SYS(getsockname), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(poll),
    SCMP_SYS(ppoll), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    // memory, without PROT_EXEC (below)
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
    // threads
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(getcpu), SCMP_SYS(gettid), SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    // signals to itself: abort(3), sanitizers, interrupted sleeps
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    // time, randomness, who it is
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(getrandom), SCMP_SYS(sysinfo),
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid)};

// The ways out.
constexpr int kDeadly[] = {SCMP_SYS(execve),
                           SCMP_SYS(execveat),
                           SCMP_SYS(socket),
                           SCMP_SYS(socketpair),
                           SCMP_SYS(bind),
                           SCMP_SYS(listen),
                           SCMP_SYS(process_vm_readv),
                           SCMP_SYS(process_vm_writev),
                           SCMP_SYS(pidfd_getfd),
                           SCMP_SYS(pidfd_open),
                           SCMP_SYS(kcmp),
                           SCMP_SYS(mount),
                           SCMP_SYS(umount2),
                           SCMP_SYS(pivot_root),
                           SCMP_SYS(chroot),
                           SCMP_SYS(unshare),
                           SCMP_SYS(setns),
                           SCMP_SYS(open_tree),
                           SCMP_SYS(move_mount),
                           SCMP_SYS(fsopen),
                           SCMP_SYS(fsmount),
                           SCMP_SYS(open_by_handle_at),
                           SCMP_SYS(setuid),
                           SCMP_SYS(setgid),
                           SCMP_SYS(setreuid),
                           SCMP_SYS(setregid),
                           SCMP_SYS(setresuid),
                           SCMP_SYS(setresgid),
                           SCMP_SYS(setgroups),
                           SCMP_SYS(capset),
                           SCMP_SYS(init_module),
                           SCMP_SYS(finit_module),
                           SCMP_SYS(delete_module),
                           SCMP_SYS(kexec_load),
                           SCMP_SYS(kexec_file_load),
                           SCMP_SYS(reboot),
                           SCMP_SYS(swapon),
                           SCMP_SYS(io_uring_setup),
                           SCMP_SYS(io_uring_enter),
                           SCMP_SYS(io_uring_register),
                           SCMP_SYS(perf_event_open),
                           SCMP_SYS(userfaultfd),
                           SCMP_SYS(add_key),
                           SCMP_SYS(request_key),
                           SCMP_SYS(keyctl),
                           SCMP_SYS(modify_ldt)};

// Sanitizers make these when they report something.
constexpr int kDeadlyUnlessSanitized[] = {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace),
                                          SCMP_SYS(personality)};

// Takes a rule after the other; the first that libseccomp refuses is remembered.
class Filter {
 public:
  Filter() : context_(seccomp_init(kSanitized ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM))) {
    if (context_ == nullptr) error_ = -ENOMEM;
    if (error_ != 0) return;
    // System calls by the numbers of another architecture have no honest use.
    Note(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    Note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));  // a tree, not a list
  }

  void Allow(int call, const std::vector<scmp_arg_cmp>& when = {}) {
    if (!kSanitized) Add(SCMP_ACT_ALLOW, call, when);
  }
  void Kill(int call, const std::vector<scmp_arg_cmp>& when = {}) {
    Add(SCMP_ACT_KILL_PROCESS, call, when);
  }
  void Add(uint32_t action, int call, const std::vector<scmp_arg_cmp>& when = {}) {
    if (error_ != 0) return;
    Note(seccomp_rule_add_array(context_.get(), action, call, static_cast<unsigned>(when.size()),
                                when.data()));
  }

  absl::Status Load() {
    if (error_ == 0) Note(seccomp_load(context_.get()));
    if (error_ == 0) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("seccomp filter of the engine: ", strerror(-error_),
                     "; the kernel needs CONFIG_SECCOMP_FILTER (Linux 4.14 or newer)"));
  }

 private:
  struct Release {
    void operator()(void* context) const { seccomp_release(context); }
  };
  void Note(int result) {
    if (result < 0 && error_ == 0) error_ = result;
  }
  int error_ = 0;
  std::unique_ptr<void, Release> context_;
};

scmp_arg_cmp Is(unsigned argument, uint64_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
scmp_arg_cmp HasNone(unsigned argument, uint64_t bits) {
  return {argument, SCMP_CMP_MASKED_EQ, bits, 0};
}
scmp_arg_cmp HasAll(unsigned argument, uint64_t bits) {
  return {argument, SCMP_CMP_MASKED_EQ, bits, bits};
}

void AllowThreads(Filter* filter) {
  filter->Allow(SCMP_SYS(clone), {HasAll(0, CLONE_THREAD)});
  if (!kSanitized) filter->Kill(SCMP_SYS(clone), {HasNone(0, CLONE_THREAD)});
  // Its flags are in memory, where a filter cannot look; the C library then takes clone(2).
  if (!kSanitized) filter->Add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  filter->Allow(SCMP_SYS(prctl), {Is(0, PR_SET_NAME)});
  filter->Allow(SCMP_SYS(tgkill), {Is(0, static_cast<uint64_t>(getpid()))});
}

void AllowMemory(Filter* filter) {
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
    filter->Allow(call, {HasNone(2, PROT_EXEC)});
  }
}

void AllowDescriptors(Filter* filter) {
  for (const uint64_t command :
       {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS}) {
    filter->Allow(SCMP_SYS(fcntl), {Is(1, command)});
  }
  // What the C library makes of fstat(2).
  filter->Allow(SCMP_SYS(newfstatat), {HasAll(3, AT_EMPTY_PATH)});
  for (const uint64_t level : {SOL_SOCKET, SOL_XDP}) {
    filter->Allow(SCMP_SYS(getsockopt), {Is(1, level)});
  }
  // Above all no SO_ATTACH_FILTER and no SO_BINDTODEVICE.
  filter->Allow(SCMP_SYS(setsockopt), {Is(1, SOL_SOCKET), Is(2, SO_NO_CHECK)});
  filter->Allow(SCMP_SYS(setsockopt), {Is(1, IPPROTO_IP), Is(2, IP_MTU_DISCOVER)});
  filter->Allow(SCMP_SYS(setsockopt), {Is(1, IPPROTO_IPV6), Is(2, IPV6_MTU_DISCOVER)});
  for (const uint64_t command : {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
                                 BPF_MAP_GET_NEXT_KEY, BPF_OBJ_GET_INFO_BY_FD}) {
    filter->Allow(SCMP_SYS(bpf), {Is(0, command)});
  }
}

}  // namespace

const bool kFiltersAll = !kSanitized;

absl::Status EnterEmptyRoot() {
  // A directory of /proc that belongs to a process which is no more: it has no name, no entries,
  // and takes none. The child shares our root with us (CLONE_FS) and dies.
  const auto child = static_cast<pid_t>(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    const bool entered = chroot("/proc/self/fdinfo/") == 0 && chdir("/") == 0;
    _exit(entered ? 0 : errno);
  }
  if (child < 0) return absl::ResourceExhaustedError(absl::StrCat("clone: ", strerror(errno)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("chroot to an empty directory: ",
                   WIFEXITED(status) ? strerror(WEXITSTATUS(status)) : "killed",
                   "; this needs CAP_SYS_CHROOT, and /proc mounted"));
}

absl::Status FilterSystemCalls() {
  Filter filter;
  for (const int call : kAllowed) filter.Allow(call);
  AllowThreads(&filter);
  AllowMemory(&filter);
  AllowDescriptors(&filter);
  for (const int call : kDeadly) filter.Kill(call);
  if (kSanitized) return filter.Load();
  for (const int call : kDeadlyUnlessSanitized) filter.Kill(call);
  return filter.Load();
}

}  // namespace cipe::broker
