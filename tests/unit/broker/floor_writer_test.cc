// Many floors, few writes, nobody told too early.
#include "broker/floor_writer.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

using namespace std::chrono_literals;

ipc::Floor FloorOf(uint8_t n) {
  ipc::Floor floor;
  floor.received[11] = n;
  return floor;
}

// A disk whose writes can be held up.
class Disk {
 public:
  absl::Status Save(const std::string& tunnel, const Floors& floors) {
    std::unique_lock lock(mutex_);
    ++begun;
    wake_.notify_all();
    wake_.wait(lock, [this] { return !held_; });
    if (!result.ok()) return result;
    files[tunnel] = floors;
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

  std::map<std::string, Floors> files;
  absl::Status result;
  int begun = 0;
  std::atomic<int> writes{0};

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool held_ = false;
};

class FloorWriterTest : public testing::Test {
 protected:
  void Make() {
    writer = std::make_unique<FloorWriter>(
        *loop, [this](const std::string& t, const Floors& f) { return disk.Save(t, f); });
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

  SystemClock clock;
  std::unique_ptr<EventLoop> loop = *EventLoop::Create(clock);
  Disk disk;
  std::vector<absl::Status> answers;
  std::unique_ptr<FloorWriter> writer;
};

TEST_F(FloorWriterTest, ManyUpdatesShareAWriteAndTheLatestWins) {
  disk.Hold(true);
  Make();
  ASSERT_TRUE(writer->Update("a", "first", FloorOf(1), Done()).ok());
  ASSERT_TRUE(disk.AwaitBegun(1));
  for (int i = 0; i < 1000; ++i) {
    for (const uint8_t n : {1, 2, 3}) {
      const std::string peer = absl::StrCat("peer-", i);
      ASSERT_TRUE(writer->Update("a", peer, FloorOf(n), n == 3 ? Done() : nullptr).ok());
    }
  }
  ASSERT_TRUE(loop->RunOnce(50ms).ok());
  EXPECT_TRUE(answers.empty()) << "told before it was on the disk";
  disk.Hold(false);
  AwaitAnswers(1001);
  EXPECT_EQ(disk.writes, 2) << "one that was under way, one for all the others";
  writer.reset();
  EXPECT_EQ(disk.files["a"].size(), 1001u);
  EXPECT_EQ(disk.files["a"]["peer-999"].received, FloorOf(3).received);
  for (const absl::Status& status : answers) EXPECT_TRUE(status.ok());
}

TEST_F(FloorWriterTest, WithoutAQuestionItIsWrittenWithinASecondOrSo) {
  Make();
  ASSERT_TRUE(writer->Update("a", "x", FloorOf(1), nullptr).ok());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(writer->Unwritten("a").has_value());
  ASSERT_TRUE(disk.AwaitBegun(1));
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(took, FloorWriter::kLazily - 500ms) << "each update costs a write";
  EXPECT_LT(took, FloorWriter::kLazily + 5s);
}

TEST_F(FloorWriterTest, AQuestionTakesLazyUpdatesAlong) {
  Make();
  writer->Start("a", {{"old", FloorOf(9)}});
  ASSERT_TRUE(writer->Update("a", "x", FloorOf(1), nullptr).ok());
  ASSERT_TRUE(writer->Update("a", "y", FloorOf(2), Done()).ok());
  AwaitAnswers(1);
  EXPECT_EQ(disk.files["a"].size(), 3u);
  EXPECT_EQ(disk.files["a"]["x"].received, FloorOf(1).received);
}

TEST_F(FloorWriterTest, TunnelsDoNotShareFiles) {
  Make();
  ASSERT_TRUE(writer->Update("a", "x", FloorOf(1), Done()).ok());
  ASSERT_TRUE(writer->Update("b", "x", FloorOf(2), Done()).ok());
  AwaitAnswers(2);
  writer.reset();
  EXPECT_EQ(disk.files["a"]["x"].received, FloorOf(1).received);
  EXPECT_EQ(disk.files["b"]["x"].received, FloorOf(2).received);
}

TEST_F(FloorWriterTest, AFailureIsToldAndTheFloorsAreKept) {
  disk.result = absl::InternalError("disk full");
  Make();
  ASSERT_TRUE(writer->Update("a", "x", FloorOf(1), Done()).ok());
  AwaitAnswers(1);
  EXPECT_FALSE(answers[0].ok());
  ASSERT_TRUE(writer->Unwritten("a").has_value());
  EXPECT_EQ((*writer->Unwritten("a"))["x"].received, FloorOf(1).received);
  writer->Start("a", {});
  disk.result = absl::OkStatus();
  ASSERT_TRUE(writer->Update("a", "y", FloorOf(2), Done()).ok());
  AwaitAnswers(2);
  writer.reset();
  EXPECT_EQ(disk.files["a"].size(), 2u);
}

TEST_F(FloorWriterTest, TheEndWritesWhatIsLeftAndTellsNobody) {
  Make();
  ASSERT_TRUE(writer->Update("a", "x", FloorOf(1), nullptr).ok());
  ASSERT_TRUE(writer->Update("b", "x", FloorOf(1), Done()).ok());
  writer.reset();
  EXPECT_EQ(disk.files["a"].size(), 1u);
  EXPECT_EQ(disk.files["b"].size(), 1u);
  ASSERT_TRUE(loop->RunOnce(50ms).ok());
  EXPECT_TRUE(answers.empty());
}

TEST_F(FloorWriterTest, QuestionsAreBounded) {
  disk.Hold(true);
  Make();
  ASSERT_TRUE(writer->Update("a", "x", FloorOf(1), Done()).ok());
  ASSERT_TRUE(disk.AwaitBegun(1));
  size_t taken = 0;
  while (taken < 1000 && writer->Update("a", "x", FloorOf(2), Done()).ok()) ++taken;
  EXPECT_EQ(taken, 4u);
  disk.Hold(false);
  AwaitAnswers(1 + taken);
}

}  // namespace
}  // namespace cipe::broker
