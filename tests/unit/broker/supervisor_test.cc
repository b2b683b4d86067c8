#include "broker/supervisor.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// An engine that answers pings by pongs and every other message by Ready, and dies of garbage like
// any other.
absl::StatusOr<EngineProcess> SpawnEcho() {
  auto pair = *ipc::Channel::Pair();
  const pid_t pid = fork();
  if (pid == 0) {
    pair.first.reset();
    ipc::Channel channel(std::move(pair.second));
    while (true) {
      const auto message = channel.Receive();
      if (message.ok()) {
        const auto* ping = std::get_if<ipc::Ping>(&*message);
        ipc::Message answer = ipc::Ready{};
        if (ping != nullptr) answer = ipc::Pong{ping->number};
        channel.Send(std::move(answer)).IgnoreError();
      }
      if (message.status().code() == absl::StatusCode::kUnavailable) _exit(0);
      pollfd next{channel.fd(), POLLIN, 0};
      poll(&next, 1, -1);
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

// An engine that says `count` things and dies before anybody can have read them.
absl::StatusOr<EngineProcess> SpawnDying(int count) {
  auto pair = *ipc::Channel::Pair();
  const pid_t pid = fork();
  if (pid == 0) {
    pair.first.reset();
    ipc::Channel channel(std::move(pair.second));
    for (int i = 0; i < count; ++i) channel.Send(ipc::Ready{}).IgnoreError();
    kill(getpid(), SIGKILL);
  }
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd death{pidfd.get(), POLLIN, 0};
  poll(&death, 1, 20000);
  return EngineProcess{pid, std::move(pidfd), std::move(pair.first)};
}

// An engine that never reads.
absl::StatusOr<EngineProcess> SpawnDeaf() {
  auto pair = *ipc::Channel::Pair();
  const pid_t pid = fork();
  if (pid == 0) {
    pair.first.reset();
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
            [this](ipc::Message) { ++messages_; }, [this] { ++deaths_; }, [this] { ++pongs_; }};
  }
  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::vector<bool> starts_;
  int messages_ = 0;
  int deaths_ = 0;
  int pongs_ = 0;
};

TEST_F(SupervisorTest, CarriesMessagesBothWays) {
  Supervisor supervisor(*loop_, SpawnEcho, Hooks());
  ASSERT_TRUE(supervisor.Start().ok());
  ASSERT_TRUE(supervisor.Send(ipc::TunnelRemove{1}).ok());
  Run([&] { return messages_ == 1; });
  EXPECT_EQ(deaths_, 0);
}

TEST_F(SupervisorTest, SaysThatTheEngineAnswers) {
  Supervisor supervisor(*loop_, SpawnEcho, Hooks(), {milliseconds(10), 100});
  ASSERT_TRUE(supervisor.Start().ok());
  Run([&] { return pongs_ >= 3; });
  EXPECT_EQ(messages_, 0);
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

// Floors above all: what was said before the death must not be lost.
TEST_F(SupervisorTest, LastWordsCount) {
  int spawned = 0;
  Supervisor supervisor(
      *loop_, [&] { return ++spawned == 1 ? SpawnDying(100) : SpawnEcho(); }, Hooks());
  ASSERT_TRUE(supervisor.Start().ok());
  Run([&] { return starts_.size() == 2; });
  EXPECT_EQ(messages_, 100);
  EXPECT_EQ(deaths_, 1);
}

TEST_F(SupervisorTest, ADeafEngineIsReplaced) {
  Supervisor supervisor(*loop_, SpawnDeaf, Hooks());
  ASSERT_TRUE(supervisor.Start().ok());
  absl::Status status;
  for (int i = 0; i < 100000 && status.ok(); ++i) status = supervisor.Send(ipc::TunnelRemove{1});
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  Run([&] { return starts_.size() == 2; });
  EXPECT_EQ(deaths_, 1);
}

// One that reads nothing, though its queue has room for all that is sent.
TEST_F(SupervisorTest, AHungEngineIsReplaced) {
  int spawned = 0;
  Supervisor supervisor(
      *loop_, [&] { return ++spawned == 1 ? SpawnDeaf() : SpawnEcho(); }, Hooks(),
      HeartbeatOptions{milliseconds(50), 4});
  ASSERT_TRUE(supervisor.Start().ok());
  const Instant started = clock_.Now();
  Run([&] { return starts_.size() == 2; });
  EXPECT_GE(clock_.Now() - started, milliseconds(200));
  EXPECT_EQ(deaths_, 1);
  // The next one answers, and stays.
  const Instant end = clock_.Now() + seconds(1);
  while (clock_.Now() < end) ASSERT_TRUE(loop_->RunOnce(milliseconds(20)).ok());
  EXPECT_EQ(deaths_, 1);
  EXPECT_EQ(messages_, 0) << "pongs are not for the broker";
}

TEST_F(SupervisorTest, WithoutAnEngineNothingIsSent) {
  int spawned = 0;
  const auto spawn = [&]() -> absl::StatusOr<EngineProcess> {
    if (++spawned == 2) return absl::ResourceExhaustedError("fork: no memory");
    return SpawnEcho();
  };
  Supervisor supervisor(*loop_, spawn, Hooks());
  EXPECT_TRUE(absl::IsUnavailable(supervisor.Send(ipc::Ready{})));
  ASSERT_TRUE(supervisor.Start().ok());
  supervisor.Kill("of a test");
  Run([&] { return spawned == 2; });
  EXPECT_FALSE(supervisor.running());
  EXPECT_TRUE(absl::IsUnavailable(supervisor.Send(ipc::Ready{})));
}

TEST_F(SupervisorTest, AFirstEngineThatCannotBeStartedIsAnError) {
  Supervisor supervisor(
      *loop_, [] { return absl::ResourceExhaustedError("fork: no memory"); }, Hooks());
  EXPECT_TRUE(absl::IsResourceExhausted(supervisor.Start()));
  EXPECT_TRUE(starts_.empty());
}

TEST(RestartPause, GrowsToABound) {
  EXPECT_EQ(RestartPause(1), Duration::zero());
  EXPECT_EQ(RestartPause(2), milliseconds(100));
  EXPECT_EQ(RestartPause(3), milliseconds(200));
  EXPECT_EQ(RestartPause(1000), seconds(10));
}

}  // namespace
}  // namespace cipe::broker
