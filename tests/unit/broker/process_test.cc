// The engine's process: what it inherits and what it may still do. This program re-executes itself
// as the broker does; the child says over the channel what it finds.
#include "broker/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "broker/engine_sandbox.h"
#include "tests/support/require.h"

namespace cipe::broker {
namespace {

using testing::HasSubstr;

std::string OpenFds() {
  std::string open;
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) absl::StrAppend(&open, " ", fd);
  }
  return open;
}

// What only the process itself can tell; the rest its parent reads from /proc.
std::string Findings() {
  int death = 0;
  prctl(PR_GET_PDEATHSIG, &death);
  rlimit core{1, 1};
  getrlimit(RLIMIT_CORE, &core);
  return absl::StrCat("fds:", OpenFds(), "\ndumpable: ", prctl(PR_GET_DUMPABLE), "\ndeath: ", death,
                      "\ncore: ", core.rlim_max, "\n");
}

std::vector<std::string> CommandLine() {
  std::ifstream file("/proc/self/cmdline");
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  return words;
}

// Each tries one way out of the sandbox, by a system call that no library makes instead.
struct Attempt {
  const char* name;
  long (*run)();
};
const Attempt kAttempts[] = {
    {"execve",
     [] {
       char* const none[] = {nullptr};
       return syscall(SYS_execve, "/bin/true", none, none);
     }},
    {"fork", [] { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
    {"clone3", [] { return syscall(SYS_clone3, nullptr, 0); }},
    {"udp socket", [] { return syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0); }},
    {"unix socket", [] { return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
    {"netlink socket", [] { return syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0); }},
    {"open", [] { return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); }},
    {"open root", [] { return syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY); }},
    {"make file", [] { return syscall(SYS_openat, AT_FDCWD, "/file", O_CREAT | O_WRONLY, 0600); }},
    {"ptrace", [] { return syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), 0, 0); }},
    {"kill", [] { return syscall(SYS_kill, getppid(), 0); }},
    {"setuid", [] { return syscall(SYS_setuid, 0); }},
    {"chroot", [] { return syscall(SYS_chroot, "."); }},
    {"unshare", [] { return syscall(SYS_unshare, CLONE_NEWUSER); }},
    {"mount", [] { return syscall(SYS_mount, "none", "/", "tmpfs", 0, nullptr); }},
    {"bpf program", [] { return syscall(SYS_bpf, BPF_PROG_LOAD, nullptr, 0); }},
    {"io_uring", [] { return syscall(SYS_io_uring_setup, 1, nullptr); }},
    {"perf", [] { return syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0); }},
    {"executable memory",
     [] {
       return syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
     }},
    {"socket filter",
     [] { return syscall(SYS_setsockopt, 3, SOL_SOCKET, SO_ATTACH_FILTER, nullptr, 0); }},
    // What the engine itself does all the time.
    {"thread",
     [] {
       std::thread([] {}).join();
       return 0L;
     }},
    {"memory", [] { return static_cast<long>(std::vector<char>(8 << 20, 'x').size()); }},
    {"event loop", [] { return static_cast<long>(UniqueFd(epoll_create1(EPOLL_CLOEXEC)).get()); }},
};

// In the child: sheds its privileges as ciped does, reports, and once it is told to goes into the
// sandbox and tries a way out of it.
std::string EngineRole() {
  const std::vector<std::string> words = CommandLine();
  if (words.empty() || words[0] != "ciped-engine") return "";
  std::string text;
  const bool good = words.size() == 7 && words[1] == "--engine-fd" && words[2] == "3" &&
                    words[3] == "--engine-parent" && words[5] == "--log-level" && words[6] == "4";
  if (good) {
    text = absl::StrCat("at start fds:", OpenFds(), "\n");
    const absl::Status status = ShedPrivileges(3, std::atoi(words[4].c_str()));
    absl::StrAppend(&text, "shed: ", status.ToString(), "\n", Findings());
  }
  send(3, text.data(), text.size(), MSG_NOSIGNAL);
  fcntl(3, F_SETFL, 0);  // to wait
  uint32_t number = 0;
  if (recv(3, &number, sizeof number, 0) != sizeof number) _exit(0);
  if (!FilterSystemCalls().ok()) _exit(2);
  errno = 0;
  const long result = kAttempts[number].run();
  text = result < 0 ? strerrorname_np(errno) : "done";
  send(3, text.data(), text.size(), MSG_NOSIGNAL);
  _exit(0);
}

const bool kEngineRole = test::Require(EngineRole);

class Process : public testing::Test {
 protected:
  void SetUp() override { Start(); }
  void TearDown() override { Finish(); }

  void Start() {
    auto spawned = SpawnEngine(Severity::kWarning);
    ASSERT_TRUE(spawned.ok()) << spawned.status();
    engine_ = *std::move(spawned);
    text_ = Receive();
    ASSERT_FALSE(text_.empty());
  }
  // Its status as waitpid(2) has it.
  int Finish() {
    if (engine_.pid <= 0) return -1;
    engine_.channel.reset();
    pollfd death{engine_.pidfd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&death, 1, 20000), 1) << "the pidfd must tell of its end";
    int status = -1;
    const pid_t pid = std::exchange(engine_.pid, -1);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }
  std::string Receive() {
    pollfd waiting{engine_.channel.get(), POLLIN, 0};
    EXPECT_EQ(poll(&waiting, 1, 20000), 1);
    std::string buffer(65536, '\0');
    const ssize_t n = recv(engine_.channel.get(), buffer.data(), buffer.size(), 0);
    buffer.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    return buffer;
  }
  std::string ProcStatus() const {
    std::ifstream in(absl::StrCat("/proc/", engine_.pid, "/status"));
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  // "killed", "done" or the name of an errno.
  std::string Try(absl::string_view name) {
    const auto* attempt = std::find_if(std::begin(kAttempts), std::end(kAttempts),
                                       [&](const Attempt& a) { return a.name == name; });
    if (attempt == std::end(kAttempts)) return "no such attempt";
    const auto number = static_cast<uint32_t>(attempt - std::begin(kAttempts));
    Finish();
    Start();
    send(engine_.channel.get(), &number, sizeof number, MSG_NOSIGNAL);
    const std::string answer = Receive();
    const int status = Finish();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? "killed" : answer;
  }

  UniqueFd extra_{open("/dev/null", O_RDWR)};  // without O_CLOEXEC
  EngineProcess engine_;
  std::string text_;
};

TEST_F(Process, InheritsStandardStreamsAndTheChannelOnly) {
  EXPECT_THAT(text_, HasSubstr("at start fds: 0 1 2 3\n"));
  EXPECT_THAT(text_, HasSubstr("\nfds: 0 1 2 3\n"));
}

TEST_F(Process, KeepsNoPrivilege) {
  if (geteuid() != 0) {
    EXPECT_THAT(text_, HasSubstr("cannot drop privileges of the engine"));
    GTEST_SKIP() << "dropping privileges needs root";
  }
  const passwd* user = getpwnam("cipe");
  if (user == nullptr) user = getpwnam("nobody");
  ASSERT_NE(user, nullptr);
  const auto four = [](unsigned id) {
    return absl::StrCat("\t", id, "\t", id, "\t", id, "\t", id);
  };
  EXPECT_THAT(text_, HasSubstr("shed: OK\n"));
  const std::string status = ProcStatus();
  EXPECT_THAT(status, HasSubstr(absl::StrCat("\nUid:", four(user->pw_uid), "\n")));
  EXPECT_THAT(status, HasSubstr(absl::StrCat("\nGid:", four(user->pw_gid), "\n")));
  EXPECT_THAT(status, testing::ContainsRegex("\nGroups:[ \t]*\n"));
  for (const char* set : {"CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"}) {
    EXPECT_THAT(status, HasSubstr(absl::StrCat("\n", set, ":\t0000000000000000\n")));
  }
  EXPECT_THAT(status, HasSubstr("\nNoNewPrivs:\t1\n"));
  EXPECT_THAT(status, HasSubstr("\nSigBlk:\t0000000000000000\n"));
  EXPECT_THAT(text_, HasSubstr("dumpable: 0\n"));
  EXPECT_THAT(text_, HasSubstr(absl::StrCat("death: ", SIGKILL, "\n")));
  EXPECT_THAT(text_, HasSubstr("core: 0\n"));
}

TEST_F(Process, HasNoWayOutOfItsSandbox) {
  if (geteuid() != 0) GTEST_SKIP() << "dropping privileges needs root";
  for (const char* name : {"execve", "udp socket", "unix socket", "netlink socket", "setuid",
                           "chroot", "unshare", "mount", "io_uring", "perf"}) {
    EXPECT_EQ(Try(name), "killed") << name;
  }
  for (const char* name : {"open", "make file"}) {
    const std::string answer = Try(name);  // the empty root's answers without the filter
    EXPECT_TRUE(kFiltersAll ? answer == "EPERM" : answer == "ENOENT" || answer == "ESRCH")
        << answer;
  }
  for (const char* name : {"thread", "memory", "event loop"}) EXPECT_EQ(Try(name), "done") << name;
  if (!kFiltersAll) return;  // the rest belongs to the run time of sanitizers
  for (const char* name : {"fork", "ptrace"}) EXPECT_EQ(Try(name), "killed") << name;
  for (const char* name :
       {"kill", "bpf program", "executable memory", "socket filter", "open root"}) {
    EXPECT_EQ(Try(name), "EPERM") << name;
  }
  EXPECT_EQ(Try("clone3"), "ENOSYS");
}

// The empty root by itself: what the filter forbids must not be there to be found either.
TEST_F(Process, HasAnEmptyRootDirectory) {
  if (geteuid() != 0) GTEST_SKIP() << "dropping privileges needs root";
  const std::string root = absl::StrCat("/proc/", engine_.pid, "/root/");
  for (const char* name : {"etc", "proc", "self", "0", "1"}) {
    struct stat info {};
    EXPECT_NE(stat((root + name).c_str(), &info), 0) << name;
  }
  EXPECT_LT(UniqueFd(open((root + "file").c_str(), O_CREAT | O_WRONLY, 0600)).get(), 0);
  EXPECT_NE(mkdir((root + "directory").c_str(), 0700), 0);
}

}  // namespace
}  // namespace cipe::broker
