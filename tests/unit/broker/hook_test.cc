// Scripts: arguments, environment, order, output, limits, and what is refused.
#include "broker/hook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

class HookTest : public testing::Test {
 protected:
  HookTest() : loop_(*EventLoop::Create(clock_)), runner_(*loop_, false, geteuid()) {
    std::string pattern = testing::TempDir() + "/cipe_hook_XXXXXX";
    dir_ = mkdtemp(pattern.data());
  }
  ~HookTest() override { std::filesystem::remove_all(dir_); }

  HookJob Script(const std::string& text, const std::string& name = "up", mode_t mode = 0755) {
    HookJob job;
    job.group = "cipcb0";
    job.label = "ip-up";
    job.path = dir_ + "/" + name;
    std::ofstream(job.path) << "#!/bin/sh\n" << text << "\n";
    chmod(job.path.c_str(), mode);
    job.done = [this](const absl::Status& s) { results_.push_back(s); };
    return job;
  }
  std::string Read(const std::string& name) const {
    std::stringstream out;
    out << std::ifstream(dir_ + "/" + name).rdbuf();
    return out.str();
  }
  void RunAll(Duration patience = seconds(10)) {
    testing::internal::CaptureStderr();
    runner_.Drain(patience);
    log_ += testing::internal::GetCapturedStderr();
  }

  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_;
  HookRunner runner_;
  std::string dir_, log_;
  std::vector<absl::Status> results_;
};

TEST_F(HookTest, ArgumentsAndEnvironmentAreExactlyWhatTheJobSays) {
  setenv("CIPE_LEAK", "secret", 1);
  HookJob job = Script(absl::StrCat("for a in \"$@\"; do echo \"[$a]\"; done >", dir_,
                                    "/args; env | sort >", dir_, "/env; pwd >", dir_, "/pwd"));
  job.arguments = {"cipcb0", "10.0.0.1:6789", "77", "10.0.1.1", "10.0.1.2", "a b $(id)"};
  job.environment = {{"CIPE_DEVICE", "cipcb0"}, {"CIPE_ARG", "a b $(id)"}};
  runner_.Run(job);
  RunAll();
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_TRUE(results_[0].ok()) << results_[0];
  EXPECT_EQ(Read("args"), "[cipcb0]\n[10.0.0.1:6789]\n[77]\n[10.0.1.1]\n[10.0.1.2]\n[a b $(id)]\n");
  const std::string env = Read("env");
  EXPECT_THAT(env, HasSubstr("CIPE_ARG=a b $(id)\nCIPE_DEVICE=cipcb0\n"));
  EXPECT_THAT(env, HasSubstr("PATH=/usr/local/sbin"));
  EXPECT_THAT(env, Not(HasSubstr("CIPE_LEAK")));
  EXPECT_THAT(env, Not(HasSubstr("HOME=")));
  EXPECT_EQ(Read("pwd"), "/\n");
}

TEST_F(HookTest, MissingScriptIsQuietlyNotFound) {
  HookJob job = Script("true");
  std::filesystem::remove(job.path);
  testing::internal::CaptureStderr();
  runner_.Run(job);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_TRUE(absl::IsNotFound(results_[0]));
  EXPECT_EQ(runner_.pending(), 0u);
}

TEST_F(HookTest, UnsafeScriptsAreRefused) {
  testing::internal::CaptureStderr();
  runner_.Run(Script("true", "writable", 0777));
  runner_.Run(Script("true", "plain", 0644));
  HookJob folder = Script("true");
  folder.path = dir_;
  runner_.Run(folder);
  if (geteuid() == 0) {
    HookJob foreign = Script("true", "foreign");
    ASSERT_EQ(chown(foreign.path.c_str(), 12345, 0), 0);
    runner_.Run(foreign);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("chmod go-w"));
  EXPECT_THAT(log, HasSubstr("not executable"));
  EXPECT_THAT(log, HasSubstr("not a regular file"));
  if (geteuid() == 0) {
    EXPECT_THAT(log, HasSubstr("belongs to user 12345"));
  }
  for (const absl::Status& s : results_) EXPECT_FALSE(s.ok());
  EXPECT_EQ(runner_.pending(), 0u);
}

TEST_F(HookTest, OutputGoesToTheLogLineByLineEscapedAndBounded) {
  runner_.Run(
      Script("printf 'one\\ntwo \\033[2J\\r\\nrest'; echo err >&2; head -c 5000 /dev/zero | "
             "tr '\\0' x; echo; i=0; while [ $i -lt 300 ]; do echo n$i; i=$((i+1)); done"));
  RunAll();
  EXPECT_THAT(log_, HasSubstr("cipcb0 ip-up: one\n"));
  EXPECT_THAT(log_, HasSubstr("cipcb0 ip-up: two \\x1b[2J\\x0d\n"));
  EXPECT_THAT(log_, HasSubstr("cipcb0 ip-up: resterr\n"));
  EXPECT_THAT(log_, HasSubstr("xxx ...\n"));
  EXPECT_THAT(log_, Not(HasSubstr(std::string(501, 'x'))));
  EXPECT_THAT(log_, HasSubstr("cipcb0 ip-up: n150\n"));
  EXPECT_THAT(log_, Not(HasSubstr("n250")));
  EXPECT_THAT(log_, HasSubstr("104 further lines left out"));
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_TRUE(results_[0].ok());
}

TEST_F(HookTest, FailuresAreReported) {
  runner_.Run(Script("exit 3", "a"));
  runner_.Run(Script("kill -9 $$", "b"));
  HookJob empty = Script("true", "c");
  std::ofstream(empty.path) << "#!/no/such/shell\n";
  runner_.Run(empty);
  RunAll();
  ASSERT_EQ(results_.size(), 3u);
  EXPECT_THAT(std::string(results_[0].message()), HasSubstr("status 3"));
  EXPECT_THAT(std::string(results_[1].message()), HasSubstr("signal 9"));
  EXPECT_THAT(std::string(results_[2].message()), HasSubstr("is its first line"));
  EXPECT_THAT(log_, HasSubstr("status 3"));
}

TEST_F(HookTest, OneTunnelsScriptsRunInOrderOthersBeside) {
  const std::string out = dir_ + "/order";
  HookJob other = Script("echo other >>" + out, "other");
  other.group = "cipcb1";
  runner_.Run(Script("sleep 0.5; echo first >>" + out, "first"));
  runner_.Run(Script("echo second >>" + out, "second"));
  runner_.Run(other);
  EXPECT_EQ(runner_.pending(), 3u);
  RunAll();
  EXPECT_EQ(Read("order"), "other\nfirst\nsecond\n");
}

TEST_F(HookTest, TimeLimitEndsTheWholeGroup) {
  HookJob job = Script("trap '' TERM; sleep 60 & echo $! >" + dir_ + "/child; wait; sleep 60");
  job.limit = milliseconds(300);
  const auto start = std::chrono::steady_clock::now();
  runner_.Run(job);
  runner_.Run(Script("echo after >" + dir_ + "/after", "after"));
  RunAll();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(6));
  ASSERT_EQ(results_.size(), 2u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(results_[0])) << results_[0];
  EXPECT_EQ(Read("after"), "after\n");
  const pid_t child = atoi(Read("child").c_str());
  ASSERT_GT(child, 0);
  for (int i = 0; i < 100 && kill(child, 0) == 0; ++i) {
    // An orphan stays until init reaps it; a zombie counts as ended.
    std::string stat, line;
    std::ifstream file(absl::StrCat("/proc/", child, "/stat"));
    std::getline(file, stat);
    if (stat.find(") Z") != std::string::npos) break;
    usleep(20000);
    ASSERT_LT(i, 99) << "the script's child still runs: " << stat;
  }
}

TEST_F(HookTest, BackgroundProgramsDoNotHoldTheScript) {
  runner_.Run(Script("sleep 3 & echo started"));
  const auto start = std::chrono::steady_clock::now();
  RunAll();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(2));
  EXPECT_THAT(log_, HasSubstr("started"));
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_TRUE(results_[0].ok());
}

// A pipe closed under it would end it with SIGPIPE.
TEST_F(HookTest, WhatBackgroundProgramsWriteIsStillRead) {
  runner_.Run(Script("(for i in 1 2 3; do sleep 0.2; echo bg $i; done; touch " + dir_ +
                     "/done) & echo fg"));
  RunAll();
  EXPECT_EQ(runner_.pending(), 0u);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 100 && !std::filesystem::exists(dir_ + "/done"); ++i) {
    ASSERT_TRUE(loop_->RunOnce(milliseconds(50)).ok());
  }
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(loop_->RunOnce(milliseconds(10)).ok());
  log_ += testing::internal::GetCapturedStderr();
  EXPECT_TRUE(std::filesystem::exists(dir_ + "/done"));
  EXPECT_THAT(log_, HasSubstr("ip-up: fg\n"));
  EXPECT_THAT(log_, HasSubstr("ip-up: bg 3\n"));
}

TEST_F(HookTest, WhatIsCutOffIsSaid) {
  testing::internal::CaptureStderr();
  {
    HookRunner runner(*loop_, /*units=*/false, geteuid());
    runner.Run(Script("sleep 60"));
    HookJob second = Script("true", "down");
    second.label = "ip-down";
    runner.Run(second);
    loop_->After(milliseconds(100), [&] { runner.Hurry(); });
    const auto start = std::chrono::steady_clock::now();
    runner.Drain(seconds(50));
    EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  }
  log_ += testing::internal::GetCapturedStderr();
  EXPECT_THAT(log_, HasSubstr("ip-up: cut off"));
  EXPECT_THAT(log_, HasSubstr("ip-down: not run"));
}

TEST_F(HookTest, DestructionKillsWhatRuns) {
  const auto start = std::chrono::steady_clock::now();
  {
    HookRunner runner(*loop_, /*units=*/false, geteuid());
    runner.Run(Script("sleep 60"));
    EXPECT_EQ(runner.pending(), 1u);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(5));
  EXPECT_TRUE(results_.empty());
  EXPECT_TRUE(loop_->RunOnce(Duration::zero()).ok());
}

}  // namespace
}  // namespace cipe::broker
