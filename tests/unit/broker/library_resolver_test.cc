#include "broker/library_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.h"

namespace cipe::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// Lets the looking thread stand still until the test opens it.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait_for(lock, seconds(20), [&] { return open_; });
  }
  void AwaitSomebody() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, seconds(20), [&] { return waiting_ > 0; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int waiting_ = 0;
};

class LibraryResolverTest : public testing::Test {
 protected:
  void Run(const std::function<bool()>& until) {
    const Instant end = clock_.Now() + seconds(20);
    while (!until() && clock_.Now() < end) ASSERT_TRUE(loop_->RunOnce(seconds(1)).ok());
    EXPECT_TRUE(until());
  }
  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_ = *EventLoop::Create(clock_);
  std::vector<Found> answers_;
  LibraryResolver::Done Keep() {
    return [this](Found answer) { answers_.push_back(std::move(answer)); };
  }
};

TEST(ParseNumericEndpoint, TakesAddressesAndNoNames) {
  EXPECT_EQ(ParseNumericEndpoint({"192.0.2.7", 6789})->ToString(), "192.0.2.7:6789");
  EXPECT_EQ(ParseNumericEndpoint({"2001:db8::7", 1})->ToString(), "[2001:db8::7]:1");
  EXPECT_NE(ParseNumericEndpoint({"fe80::1%lo", 1})->scope_id, 0u);
  for (const char* name : {"vpn.example.org", "localhost", "192.0.2.256", "", "2001:db8::g"}) {
    EXPECT_TRUE(absl::IsNotFound(ParseNumericEndpoint({name, 1}).status())) << name;
  }
}

TEST_F(LibraryResolverTest, AnswersOnTheLoopsThreadInOrder) {
  const std::thread::id loop_thread = std::this_thread::get_id();
  std::vector<std::thread::id> seen;
  LibraryResolver resolver(*loop_, [](const config::EndpointSpec& spec) -> Found {
    if (spec.host == "none") return absl::UnavailableError("cannot resolve none: no such name");
    return std::vector<Endpoint>{*Endpoint::Parse("192.0.2.1:" + std::to_string(spec.port))};
  });
  for (uint16_t port : {1, 2, 3}) {
    resolver.Resolve({"name", port}, [&](Found answer) {
      seen.push_back(std::this_thread::get_id());
      answers_.push_back(std::move(answer));
    });
  }
  resolver.Resolve({"none", 4}, Keep());
  Run([&] { return answers_.size() == 4; });
  for (uint16_t i = 0; i < 3; ++i) EXPECT_EQ(answers_[i]->front().port, i + 1);
  EXPECT_EQ(seen, std::vector<std::thread::id>(3, loop_thread));
  EXPECT_TRUE(absl::IsUnavailable(answers_[3].status()));
}

// The real one; needs no network.
TEST_F(LibraryResolverTest, AsksTheLibrary) {
  LibraryResolver resolver(*loop_);
  resolver.Resolve({"192.0.2.9", 99}, Keep());
  resolver.Resolve({"no..such..name", 99}, Keep());
  Run([&] { return answers_.size() == 2; });
  ASSERT_TRUE(answers_[0].ok()) << answers_[0].status();
  EXPECT_EQ(answers_[0]->front().ToString(), "192.0.2.9:99");
  EXPECT_TRUE(absl::IsUnavailable(answers_[1].status()));
  EXPECT_THAT(std::string(answers_[1].status().message()), HasSubstr("no..such..name"));
}

TEST_F(LibraryResolverTest, ASlowNameDoesNotHoldTheLoop) {
  Gate gate;
  LibraryResolver resolver(*loop_, [&](const config::EndpointSpec&) -> Found {
    gate.Pass();
    return std::vector<Endpoint>{};
  });
  resolver.Resolve({"slow", 1}, Keep());
  gate.AwaitSomebody();
  bool ran = false;
  loop_->Post([&] { ran = true; });
  Run([&] { return ran; });
  EXPECT_TRUE(answers_.empty());
  gate.Open();
  Run([&] { return answers_.size() == 1; });
}

TEST_F(LibraryResolverTest, ManyQuestionsAreRefused) {
  Gate gate;
  LibraryResolver resolver(*loop_, [&](const config::EndpointSpec&) -> Found {
    gate.Pass();
    return absl::UnavailableError("late");
  });
  resolver.Resolve({"first", 1}, Keep());
  gate.AwaitSomebody();  // that one waits no longer
  for (int i = 0; i < 65536; ++i) resolver.Resolve({"more", 1}, Keep());
  ASSERT_TRUE(loop_->RunOnce(Duration::zero()).ok());
  EXPECT_TRUE(answers_.empty());
  resolver.Resolve({"one too many", 1}, Keep());
  Run([&] { return answers_.size() == 1; });
  EXPECT_TRUE(absl::IsResourceExhausted(answers_[0].status()));
  gate.Open();
  Run([&] { return answers_.size() == 65538; });
}

// Its end neither waits for the other thread nor lets an answer through afterwards.
TEST_F(LibraryResolverTest, NoAnswerAfterItsEnd) {
  auto gate = std::make_shared<Gate>();
  auto resolver =
      std::make_unique<LibraryResolver>(*loop_, [gate](const config::EndpointSpec& spec) -> Found {
        if (spec.host == "slow") gate->Pass();
        return std::vector<Endpoint>{};
      });
  resolver->Resolve({"quick", 1}, Keep());
  resolver->Resolve({"slow", 1}, Keep());
  gate->AwaitSomebody();  // the quick one's answer is posted, the slow one is being looked up
  resolver.reset();
  gate->Open();
  bool ran = false;
  loop_->After(milliseconds(100), [&] { ran = true; });
  Run([&] { return ran; });
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace cipe::broker
