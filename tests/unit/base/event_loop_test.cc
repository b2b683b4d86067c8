#include "base/event_loop.h"

#include <sys/socket.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace cipe {
namespace {

using namespace std::chrono_literals;

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  void Put() const { EXPECT_EQ(::write(write.get(), "x", 1), 1); }
  void Take() const {
    char c;
    EXPECT_EQ(::read(read.get(), &c, 1), 1);
  }
  UniqueFd read, write;
};

class EventLoopTest : public ::testing::Test {
 protected:
  EventLoopTest() : loop_(*EventLoop::Create(clock_)) {}
  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_;
};

TEST_F(EventLoopTest, CallsBackWhenReadable) {
  Pipe pipe;
  int calls = 0;
  ASSERT_TRUE(loop_
                  ->Watch(pipe.read.get(), EPOLLIN,
                          [&](uint32_t events) {
                            EXPECT_TRUE(events & EPOLLIN);
                            pipe.Take();
                            ++calls;
                            loop_->Stop();
                          })
                  .ok());
  ASSERT_TRUE(loop_->RunOnce(0s).ok());
  EXPECT_EQ(calls, 0);
  pipe.Put();
  ASSERT_TRUE(loop_->Run().ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, WatchOfABadDescriptorNamesIt) {
  const absl::Status status = loop_->Watch(-1, EPOLLIN, [](uint32_t) {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_NE(status.message().find("descriptor -1"), std::string::npos) << status;
  EXPECT_EQ(loop_->SetEvents(5, EPOLLIN).code(), absl::StatusCode::kNotFound);
  loop_->Unwatch(12345);
}

TEST_F(EventLoopTest, CallbackMayUnwatchItselfAndOthersOfTheSameBatch) {
  Pipe a, b;
  int calls = 0;
  const auto once = [&](uint32_t) {
    ++calls;
    loop_->Unwatch(a.read.get());
    loop_->Unwatch(b.read.get());
  };
  ASSERT_TRUE(loop_->Watch(a.read.get(), EPOLLIN, once).ok());
  ASSERT_TRUE(loop_->Watch(b.read.get(), EPOLLIN, once).ok());
  a.Put();
  b.Put();
  ASSERT_TRUE(loop_->RunOnce(0s).ok());
  ASSERT_TRUE(loop_->RunOnce(0s).ok());
  EXPECT_EQ(calls, 1);
}

// The first callback closes the other descriptor and opens a new one, which gets the same number.
TEST_F(EventLoopTest, ReusedDescriptorGetsNoEventsOfItsPredecessor) {
  Pipe a, b;
  int old_calls = 0, new_calls = 0;
  UniqueFd reused;
  const auto replace = [&](Pipe& other) {
    ++old_calls;
    const int number = other.read.get();
    loop_->Unwatch(a.read.get());
    loop_->Unwatch(b.read.get());
    other.read.reset();
    Pipe fresh;
    if (fresh.read.get() == number) {
      reused = std::move(fresh.read);
    } else {
      reused.reset(dup2(fresh.read.get(), number));
    }
    other.write = std::move(fresh.write);
    ASSERT_TRUE(loop_->Watch(number, EPOLLIN, [&](uint32_t) { ++new_calls; }).ok());
  };
  ASSERT_TRUE(loop_->Watch(a.read.get(), EPOLLIN, [&](uint32_t) { replace(b); }).ok());
  ASSERT_TRUE(loop_->Watch(b.read.get(), EPOLLIN, [&](uint32_t) { replace(a); }).ok());
  a.Put();
  b.Put();
  ASSERT_TRUE(loop_->RunOnce(0s).ok());
  EXPECT_EQ(old_calls, 1);
  EXPECT_EQ(new_calls, 0);
}

TEST_F(EventLoopTest, WatchAgainReplacesEventsAndCallback) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  UniqueFd a(fds[0]), b(fds[1]);
  std::string log;
  ASSERT_TRUE(loop_->Watch(a.get(), EPOLLIN, [&](uint32_t) { log += "r"; }).ok());
  ASSERT_TRUE(loop_->Watch(a.get(), EPOLLOUT, [&](uint32_t) { log += "w"; }).ok());
  ASSERT_TRUE(loop_->RunOnce(0s).ok());
  EXPECT_EQ(log, "w");
  ASSERT_TRUE(loop_->SetEvents(a.get(), EPOLLIN).ok());
  ASSERT_TRUE(loop_->RunOnce(0s).ok());
  EXPECT_EQ(log, "w");
}

TEST_F(EventLoopTest, RealTimersRunInOrder) {
  std::string log;
  const Instant start = clock_.Now();
  loop_->At(start + 3ms, [&] {
    log += "c";
    loop_->Stop();
  });
  loop_->At(start + 1ms, [&] { log += "a"; });
  loop_->At(start + 1ms, [&] { log += "b"; });
  ASSERT_TRUE(loop_->Run().ok());
  EXPECT_EQ(log, "abc");
  EXPECT_GE(clock_.Now(), start + 3ms);
}

TEST_F(EventLoopTest, PostsFromManyThreadsAllRunInOrderPerThread) {
  constexpr int kThreads = 4, kPosts = 1000;
  std::vector<int> last(kThreads, -1);  // only the loop's thread touches it
  int done = 0;
  bool in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop_->Post([&, t, i] {
          in_order = in_order && last[t] == i - 1;
          last[t] = i;
          if (++done == kThreads * kPosts) loop_->Stop();
        });
      }
    });
  }
  ASSERT_TRUE(loop_->Run().ok());
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(done, kThreads * kPosts);
  EXPECT_TRUE(in_order);
}

TEST_F(EventLoopTest, StopFromAnotherThreadEndsRun) {
  std::thread other([&] { loop_->Stop(); });
  EXPECT_TRUE(loop_->Run().ok());
  other.join();
}

TEST_F(EventLoopTest, StopBeforeRunCounts) {
  loop_->Stop();
  EXPECT_TRUE(loop_->Run().ok());
}

class ManualLoopTest : public ::testing::Test {
 protected:
  ManualLoopTest()
      : clock_(FromNanos(1'000'000'000'000), WallTime{}), loop_(*EventLoop::Create(clock_)) {}
  void Turn() { ASSERT_TRUE(loop_->RunOnce(0s).ok()); }
  ManualClock clock_;
  std::unique_ptr<EventLoop> loop_;
};

TEST_F(ManualLoopTest, TimerWaitsForItsInstantAndRunsOnce) {
  int calls = 0;
  const TimerId id = loop_->After(10s, [&] { ++calls; });
  Turn();
  EXPECT_EQ(calls, 0);
  clock_.Advance(10s - 1ns);
  Turn();
  EXPECT_EQ(calls, 0);
  clock_.Advance(1ns);
  Turn();
  Turn();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(loop_->Cancel(id));
}

TEST_F(ManualLoopTest, PastTimerRunsInTheNextTurn) {
  int calls = 0;
  loop_->At(clock_.Now() - 1s, [&] { ++calls; });
  Turn();
  EXPECT_EQ(calls, 1);
}

TEST_F(ManualLoopTest, CancelledTimerDoesNotRun) {
  int calls = 0;
  const TimerId id = loop_->After(1s, [&] { ++calls; });
  EXPECT_TRUE(loop_->Cancel(id));
  EXPECT_FALSE(loop_->Cancel(id));
  EXPECT_FALSE(loop_->Cancel(TimerId::kNone));
  clock_.Advance(2s);
  Turn();
  EXPECT_EQ(calls, 0);
}

TEST_F(ManualLoopTest, TimerMayCancelAnotherThatIsDueToo) {
  int calls = 0;
  TimerId second = TimerId::kNone;
  loop_->After(1s, [&] {
    ++calls;
    EXPECT_TRUE(loop_->Cancel(second));
  });
  second = loop_->After(1s, [&] { ++calls; });
  clock_.Advance(5s);
  Turn();
  EXPECT_EQ(calls, 1);
}

TEST_F(ManualLoopTest, TimerThatRestartsItselfAtOnceLeavesRoomForOthers) {
  int restarts = 0, posted = 0;
  EventLoop::Callback again = [&] {
    ++restarts;
    loop_->At(clock_.Now(), again);
  };
  loop_->At(clock_.Now(), again);
  loop_->Post([&] { ++posted; });
  Turn();
  EXPECT_EQ(restarts, 1);
  EXPECT_EQ(posted, 1);
  Turn();
  EXPECT_EQ(restarts, 2);
}

TEST_F(ManualLoopTest, PostFromACallbackRunsInALaterTurn) {
  std::string log;
  loop_->Post([&] {
    loop_->Post([&] { log += "b"; });
    log += "a";
  });
  Turn();
  EXPECT_EQ(log, "a");
  Turn();
  EXPECT_EQ(log, "ab");
}

TEST_F(ManualLoopTest, CallbacksNotRunAreDestroyedWithTheLoop) {
  auto held = std::make_shared<int>(1);
  loop_->Post([held] {});
  loop_->After(1s, [held] {});
  EXPECT_EQ(held.use_count(), 3);
  loop_.reset();
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace cipe
