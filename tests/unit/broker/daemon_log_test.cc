#include "broker/daemon_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

class DaemonLogTest : public testing::Test {
 protected:
  void SetUp() override {
    if (access("/run/systemd/journal/stdout", F_OK) == 0) {
      GTEST_SKIP() << "journald runs here, so no file is written";
    }
    ASSERT_NE(mkdtemp(name_), nullptr);
  }
  void TearDown() override {
    for (const char* file : {"/ciped.log", "/ciped.log.old", "/target"}) unlink(Path(file).c_str());
    rmdir(name_);
  }
  std::string Path(const char* file) const { return absl::StrCat(name_, file); }
  std::string Read(const char* file) const {
    std::ostringstream out;
    out << std::ifstream(Path(file)).rdbuf();
    return out.str();
  }
  char name_[24] = "/tmp/cipe-log-XXXXXX";
};

// In a child: what it writes afterwards is in the file, whatever the umask, and after what was
// there; JOURNAL_STREAM of its starter does not make it write prefixes.
TEST_F(DaemonLogTest, TakesTheStandardStreams) {
  for (int run = 0; run < 2; ++run) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      umask(0);
      setenv("JOURNAL_STREAM", "8:1", 1);
      auto log = DaemonLog::Open(name_);
      if (!log.ok() || log->where() != Path("/ciped.log")) _exit(1);
      if (!log->TakeStandardStreams().ok()) _exit(2);
      if (getenv("JOURNAL_STREAM") != nullptr) _exit(3);
      dprintf(STDERR_FILENO, "error\n");
      dprintf(STDOUT_FILENO, "output\n");
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
  }
  EXPECT_EQ(Read("/ciped.log"), "error\noutput\nerror\noutput\n");
  struct stat st {};
  ASSERT_EQ(stat(Path("/ciped.log").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0640u);
}

TEST_F(DaemonLogTest, IsBounded) {
  const auto log = DaemonLog::Open(name_);
  ASSERT_TRUE(log.ok()) << log.status();
  const UniqueFd engine(open(Path("/ciped.log").c_str(), O_WRONLY | O_APPEND));
  dprintf(engine.get(), "0123456789");
  log->Bound(10);
  EXPECT_EQ(Read("/ciped.log"), "0123456789");
  dprintf(engine.get(), "abcdef");
  log->Bound(10);
  EXPECT_EQ(Read("/ciped.log"), "");
  EXPECT_EQ(Read("/ciped.log.old"), "6789abcdef");  // the end, never more than the bound
  dprintf(engine.get(), "goes on");
  EXPECT_EQ(Read("/ciped.log"), "goes on");  // from the start, not after a hole
  dprintf(engine.get(), "!!!!");
  log->Bound(10);
  EXPECT_EQ(Read("/ciped.log.old"), "oes on!!!!");
}

TEST_F(DaemonLogTest, FollowsNoLinkAndTakesNoPipe) {
  std::ofstream(Path("/target")) << "precious";
  ASSERT_EQ(symlink(Path("/target").c_str(), Path("/ciped.log").c_str()), 0);
  EXPECT_FALSE(DaemonLog::Open(name_).ok());
  EXPECT_EQ(Read("/target"), "precious");
  unlink(Path("/ciped.log").c_str());
  ASSERT_EQ(mkfifo(Path("/ciped.log").c_str(), 0600), 0);
  EXPECT_FALSE(DaemonLog::Open(name_).ok());
}

}  // namespace
}  // namespace cipe::broker
