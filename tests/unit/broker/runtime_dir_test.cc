#include "broker/runtime_dir.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

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
    const auto listener = first->Listen();
    ASSERT_TRUE(listener.ok()) << listener.status();
    const auto second = RuntimeDir::Lock(path);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
    EXPECT_NE(std::string(second.status().message()).find(absl::StrCat("process ", getpid())),
              std::string::npos);
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

// Keys are made with umask 077, and `cipectl up` typed into the same shell.
TEST(RuntimeDir, TheUmaskOfTheStarterDoesNotMatter) {
  char name[] = "/tmp/cipe-run-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = absl::StrCat(name, "/a/b");
  const mode_t before = umask(077);
  { EXPECT_TRUE(RuntimeDir::Lock(path).ok()); }
  EXPECT_TRUE(MakeDirectory(absl::StrCat(name, "/a/secret"), 0700).ok());
  umask(before);
  const auto mode = [](const std::string& of) {
    struct stat st {};
    return stat(of.c_str(), &st) == 0 ? st.st_mode & 07777 : 0;
  };
  EXPECT_EQ(mode(path), 0755u);
  EXPECT_EQ(mode(absl::StrCat(name, "/a")), 0755u);
  EXPECT_EQ(mode(absl::StrCat(name, "/a/secret")), 0700u);
  EXPECT_EQ(mode(name), 0700u);  // was there before: whoever made it meant it
  for (const char* directory : {"/a/secret", "/a/b", "/a", ""}) {
    EXPECT_EQ(rmdir(absl::StrCat(name, directory).c_str()), 0);
  }
}

// One whose socket is hidden is ending: its place is waited for, and taken with a pid file of one's
// own, though the one waited at is gone.
TEST(RuntimeDir, WaitsForADaemonThatEnds) {
  char name[] = "/tmp/cipe-run-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const std::string path = name;
  auto ending = RuntimeDir::Lock(path);
  ASSERT_TRUE(ending.ok()) << ending.status();
  { ASSERT_TRUE(ending->Listen().ok()); }
  ending->HideSocket();
  std::thread end([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    ending = absl::CancelledError();
  });
  {
    const auto next = RuntimeDir::Lock(path);
    end.join();
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(access((path + "/ciped.pid").c_str(), F_OK), 0);
    { ASSERT_TRUE(next->Listen().ok()); }
    EXPECT_FALSE(RuntimeDir::Lock(path).ok());
  }
  EXPECT_EQ(rmdir(name), 0);
}

// A killed one has a socket, and its lock for as long as some thread of it has not ended; a child
// that got the lock stands for that.
TEST(RuntimeDir, WaitsForADaemonThatWasKilled) {
  char name[] = "/tmp/cipe-run-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  const pid_t killed = fork();
  if (killed == 0) {
    const auto dir = RuntimeDir::Lock(name);
    const bool ok = dir.ok() && dir->Listen().ok();
    if (fork() == 0) usleep(300'000);
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(killed, &status, 0), killed);
  ASSERT_EQ(status, 0);
  {
    const auto next = RuntimeDir::Lock(name);
    EXPECT_TRUE(next.ok()) << next.status();
  }
  EXPECT_EQ(rmdir(name), 0);
}

}  // namespace
}  // namespace cipe::broker
