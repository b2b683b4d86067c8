#include "broker/supervisor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// An engine that answers every message by Ready, and dies of garbage like any other.
absl::StatusOr<EngineProcess> SpawnEcho() {
  auto pair = *ipc::Channel::Pair();
  const pid_t pid = fork();
  if (pid == 0) {
    pair.first.reset();
    ipc::Channel channel(std::move(pair.second));
    while (true) {
      const auto message = channel.Receive();
      if (message.ok()) channel.Send(ipc::Ready{}).IgnoreError();
      if (message.status().code() == absl::StatusCode::kUnavailable) _exit(0);
      usleep(1000);
    }
  }
  return EngineProcess{pid, UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))),
                       std::move(pair.first)};
}

// An engine that says something that is no message.
absl::StatusOr<EngineProcess> SpawnLiar() {
  auto pair = *ipc::Channel::Pair();
  const pid_t pid = fork();
  if (pid == 0) {
    [[maybe_unused]] const ssize_t n = write(pair.second.get(), "\xff", 1);
    pause();
    _exit(0);
  }
  return EngineProcess{pid, UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))),
                       std::move(pair.first)};
}

class SupervisorTest : public testing::Test {
 protected:
  void Run(const std::function<bool()>& until) {
    const Instant end = clock_.Now() + seconds(10);
    while (!until() && clock_.Now() < end) ASSERT_TRUE(loop_->RunOnce(milliseconds(20)).ok());
    EXPECT_TRUE(until());
  }
  Supervisor::Hooks Hooks() {
    return {[this](bool takeover) { starts_.push_back(takeover); },
            [this](ipc::Message) { ++messages_; }, [this] { ++deaths_; }};
  }
  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::vector<bool> starts_;
  int messages_ = 0;
  int deaths_ = 0;
};

TEST_F(SupervisorTest, CarriesMessagesBothWays) {
  Supervisor supervisor(*loop_, SpawnEcho, Hooks());
  ASSERT_TRUE(supervisor.Start().ok());
  ASSERT_TRUE(supervisor.Send(ipc::TunnelRemove{1}).ok());
  Run([&] { return messages_ == 1; });
  EXPECT_EQ(deaths_, 0);
}

TEST_F(SupervisorTest, AKilledEngineIsReplacedAtOnce) {
  Supervisor supervisor(*loop_, SpawnEcho, Hooks());
  ASSERT_TRUE(supervisor.Start().ok());
  const pid_t first = supervisor.pid();
  const Instant killed = clock_.Now();
  kill(first, SIGKILL);
  Run([&] { return starts_.size() == 2; });
  EXPECT_LT(clock_.Now() - killed, seconds(1));
  EXPECT_EQ(starts_, (std::vector<bool>{false, true}));
  EXPECT_EQ(deaths_, 1);
  EXPECT_NE(supervisor.pid(), first);
  EXPECT_EQ(waitpid(first, nullptr, WNOHANG), -1);  // reaped
  ASSERT_TRUE(supervisor.Send(ipc::TunnelRemove{1}).ok());
  Run([&] { return messages_ == 1; });
}

TEST_F(SupervisorTest, AnEngineThatTalksNonsenseIsEnded) {
  Supervisor supervisor(*loop_, SpawnLiar, Hooks());
  ASSERT_TRUE(supervisor.Start().ok());
  Run([&] { return deaths_ >= 2; });
  EXPECT_EQ(messages_, 0);
}

TEST_F(SupervisorTest, TakesItsEngineAlong) {
  pid_t pid;
  {
    Supervisor supervisor(*loop_, SpawnEcho, Hooks());
    ASSERT_TRUE(supervisor.Start().ok());
    pid = supervisor.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST(RestartPause, GrowsToABound) {
  EXPECT_EQ(RestartPause(1), Duration::zero());
  EXPECT_EQ(RestartPause(2), milliseconds(100));
  EXPECT_EQ(RestartPause(3), milliseconds(200));
  EXPECT_EQ(RestartPause(1000), seconds(10));
}

}  // namespace
}  // namespace cipe::broker
