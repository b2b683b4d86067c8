// The engine's process: what it inherits and what it may still do. This program re-executes itself
// as the broker does; the child says over the channel what it finds.
#include "broker/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

std::string Findings() {
  std::string text = absl::StrCat("fds:", OpenFds(), "\n");
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    for (const char* field :
         {"Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh", "CapBnd", "NoNewPrivs", "SigBlk"}) {
      if (absl::StartsWith(line, absl::StrCat(field, ":"))) absl::StrAppend(&text, line, "\n");
    }
  }
  int death = 0;
  prctl(PR_GET_PDEATHSIG, &death);
  rlimit core{1, 1};
  getrlimit(RLIMIT_CORE, &core);
  absl::StrAppend(&text, "dumpable: ", prctl(PR_GET_DUMPABLE), "\ndeath: ", death,
                  "\ncore: ", core.rlim_max, "\n");
  return text;
}

std::vector<std::string> CommandLine() {
  std::ifstream file("/proc/self/cmdline");
  std::vector<std::string> words;
  for (std::string word; std::getline(file, word, '\0');) words.push_back(word);
  return words;
}

// In the child: sheds its privileges as ciped does and reports.
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
  _exit(0);
}

const bool kEngineRole = test::Require(EngineRole);

class Process : public testing::Test {
 protected:
  void SetUp() override {
    auto spawned = SpawnEngine(Severity::kWarning);
    ASSERT_TRUE(spawned.ok()) << spawned.status();
    engine_ = *std::move(spawned);
    pollfd waiting{engine_.channel.get(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 20000), 1);
    std::vector<char> buffer(65536);
    const ssize_t n = recv(engine_.channel.get(), buffer.data(), buffer.size(), 0);
    ASSERT_GT(n, 0);
    text_.assign(buffer.data(), static_cast<size_t>(n));
  }
  void TearDown() override {
    if (engine_.pid <= 0) return;
    pollfd death{engine_.pidfd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&death, 1, 20000), 1) << "the pidfd must tell of its end";
    EXPECT_EQ(waitpid(engine_.pid, nullptr, 0), engine_.pid);
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
  EXPECT_THAT(text_, HasSubstr(absl::StrCat("Uid:", four(user->pw_uid), "\n")));
  EXPECT_THAT(text_, HasSubstr(absl::StrCat("Gid:", four(user->pw_gid), "\n")));
  EXPECT_THAT(text_, testing::ContainsRegex("Groups:[ \t]*\n"));
  for (const char* set : {"CapPrm", "CapEff", "CapInh", "CapBnd"}) {
    EXPECT_THAT(text_, HasSubstr(absl::StrCat(set, ":\t0000000000000000\n")));
  }
  EXPECT_THAT(text_, HasSubstr("NoNewPrivs:\t1\n"));
  EXPECT_THAT(text_, HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(text_, HasSubstr("dumpable: 0\n"));
  EXPECT_THAT(text_, HasSubstr(absl::StrCat("death: ", SIGKILL, "\n")));
  EXPECT_THAT(text_, HasSubstr("core: 0\n"));
}

}  // namespace
}  // namespace cipe::broker
