// Many floors, few writes, nobody told too early.
#include "broker/floor_writer.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

using namespace std::chrono_literals;

// A disk whose writes can be held up.
class Disk {
 public:
  absl::Status Save() {
    std::unique_lock lock(mutex_);
    ++begun;
    const int saved = now;
    wake_.notify_all();
    wake_.wait(lock, [this] { return !held_; });
    if (!result.ok()) return result;
    file = saved;
    ++writes;
    return absl::OkStatus();
  }
  void Hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    wake_.notify_all();
  }
  bool AwaitBegun(int n) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, 10s, [&] { return begun >= n; });
  }
  void Result(absl::Status status) {
    const std::lock_guard lock(mutex_);
    result = std::move(status);
  }

  std::atomic<int> now{0};   // what there is to be written
  std::atomic<int> file{0};  // what was
  int begun = 0;
  std::atomic<int> writes{0};

 private:
  absl::Status result;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool held_ = false;
};

class FloorWriterTest : public testing::Test {
 protected:
  void Make() {
    writer = std::make_unique<FloorWriter>(*loop, [this] { return disk.Save(); });
  }
  // Runs the loop until `n` answers came.
  void AwaitAnswers(size_t n) {
    const auto patience = std::chrono::steady_clock::now() + 10s;
    while (answers.size() < n && std::chrono::steady_clock::now() < patience) {
      ASSERT_TRUE(loop->RunOnce(10ms).ok());
    }
    ASSERT_EQ(answers.size(), n);
  }
  FloorWriter::Done Done() {
    return [this](absl::Status status) { answers.push_back(std::move(status)); };
  }
  absl::Status Change(int to, FloorWriter::Done done) {
    disk.now = to;
    return writer->Changed(std::move(done));
  }

  SystemClock clock;
  std::unique_ptr<EventLoop> loop = *EventLoop::Create(clock);
  Disk disk;
  std::vector<absl::Status> answers;
  std::unique_ptr<FloorWriter> writer;
};

TEST_F(FloorWriterTest, ManyChangesShareAWriteAndTheLatestWins) {
  disk.Hold(true);
  Make();
  ASSERT_TRUE(Change(1, Done()).ok());
  ASSERT_TRUE(disk.AwaitBegun(1));
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(Change(2 + i, i % 3 == 2 ? Done() : nullptr).ok());
  ASSERT_TRUE(loop->RunOnce(50ms).ok());
  EXPECT_TRUE(answers.empty()) << "told before it was on the disk";
  disk.Hold(false);
  AwaitAnswers(1001);
  EXPECT_EQ(disk.writes, 2) << "one that was under way, one for all the others";
  EXPECT_EQ(disk.file, 3001);
  for (const absl::Status& status : answers) EXPECT_TRUE(status.ok());
}

// Whoever asks while a write is under way waits for the next one.
TEST_F(FloorWriterTest, AnAnswerIsForAWriteThatBeganAfterTheQuestion) {
  disk.Hold(true);
  Make();
  ASSERT_TRUE(Change(1, nullptr).ok());
  ASSERT_TRUE(disk.AwaitBegun(1));
  ASSERT_TRUE(Change(2, Done()).ok());
  disk.Hold(false);
  AwaitAnswers(1);
  EXPECT_EQ(disk.file, 2);
}

TEST_F(FloorWriterTest, WithoutAQuestionItIsWrittenWithinASecondOrSo) {
  Make();
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(Change(1, nullptr).ok());
  ASSERT_TRUE(disk.AwaitBegun(1));
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(took, FloorWriter::kLazily - 500ms) << "each change costs a write";
  EXPECT_LT(took, FloorWriter::kLazily + 5s);
}

TEST_F(FloorWriterTest, AFailureIsToldAndTriedAgainUnasked) {
  disk.Result(absl::InternalError("disk full"));
  Make();
  ASSERT_TRUE(Change(1, Done()).ok());
  AwaitAnswers(1);
  EXPECT_FALSE(answers[0].ok());
  disk.Result(absl::OkStatus());
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(disk.AwaitBegun(2));
  EXPECT_GT(std::chrono::steady_clock::now() - begin, FloorWriter::kAgain - 2s);
  writer.reset();
  EXPECT_EQ(disk.file, 1);
  EXPECT_EQ(answers.size(), 1u);
}

TEST_F(FloorWriterTest, TheEndWritesWhatIsLeftAndTellsNobody) {
  Make();
  ASSERT_TRUE(Change(1, nullptr).ok());
  ASSERT_TRUE(Change(2, Done()).ok());
  writer.reset();
  EXPECT_EQ(disk.file, 2);
  ASSERT_TRUE(loop->RunOnce(50ms).ok());
  EXPECT_TRUE(answers.empty());
}

TEST_F(FloorWriterTest, TheEndComesWithAFullDiskToo) {
  disk.Result(absl::InternalError("disk full"));
  Make();
  ASSERT_TRUE(Change(1, nullptr).ok());
  writer.reset();
  EXPECT_EQ(disk.begun, 1);
}

TEST_F(FloorWriterTest, QuestionsAreBounded) {
  disk.Hold(true);
  Make();
  ASSERT_TRUE(Change(1, Done()).ok());
  ASSERT_TRUE(disk.AwaitBegun(1));
  size_t taken = 0;
  while (taken <= FloorWriter::kMaxQuestions && Change(2, Done()).ok()) ++taken;
  EXPECT_EQ(taken, FloorWriter::kMaxQuestions);
  disk.Hold(false);
  AwaitAnswers(1 + taken);
}

}  // namespace
}  // namespace cipe::broker
