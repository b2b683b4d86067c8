#include "broker/runtime_dir.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

TEST(RuntimeDir, LocksOutASecondDaemonAndLeavesNothing) {
  char name[] = "/tmp/cipe-run-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = absl::StrCat(name, "/a/b");
  {
    auto first = RuntimeDir::Lock(path);
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = RuntimeDir::Lock(path);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_NE(std::string(second.status().message()).find(absl::StrCat("process ", getpid())),
              std::string::npos);
    const auto listener = first->Listen();
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat st {};
    ASSERT_EQ(stat((path + "/ciped.sock").c_str(), &st), 0);
    EXPECT_TRUE(S_ISSOCK(st.st_mode));
    EXPECT_EQ(st.st_mode & 0777, 0660u);
  }
  EXPECT_TRUE(RuntimeDir::Lock(path).ok());
  EXPECT_EQ(rmdir(path.c_str()), 0);  // only if it is empty
  EXPECT_EQ(rmdir(absl::StrCat(name, "/a").c_str()), 0);
  EXPECT_EQ(rmdir(name), 0);
}

TEST(RuntimeDir, AnOverlongSocketPathIsExplained) {
  char name[] = "/tmp/cipe-run-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = absl::StrCat(name, "/", std::string(100, 'x'));
  {
    auto runtime = RuntimeDir::Lock(path);
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    EXPECT_EQ(runtime->Listen().status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(rmdir(path.c_str()), 0);
  EXPECT_EQ(rmdir(name), 0);
}

// What a killed ciped leaves: a pid file nobody holds and a socket nobody serves.
TEST(RuntimeDir, TakesOverFromAKilledDaemon) {
  char name[] = "/tmp/cipe-run-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = name;
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    auto runtime = RuntimeDir::Lock(path);
    if (!runtime.ok() || !runtime->Listen().ok()) _exit(1);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(access((path + "/ciped.sock").c_str(), F_OK), 0);
  {
    auto runtime = RuntimeDir::Lock(path);
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    std::ifstream file(path + "/ciped.pid");
    pid_t holder = 0;
    file >> holder;
    EXPECT_EQ(holder, getpid());
    const auto listener = runtime->Listen();
    ASSERT_TRUE(listener.ok()) << listener.status();
  }
  EXPECT_EQ(rmdir(name), 0);
}

}  // namespace
}  // namespace cipe::broker
