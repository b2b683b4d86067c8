// Log lines that name a word go to its tap too.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/log.h"

namespace cipe {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    reader = UniqueFd(fds[0]);
    writer = UniqueFd(fds[1]);
  }
  std::string Read() {
    char buffer[4096];
    const ssize_t n = read(reader.get(), buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : "";
  }
  UniqueFd reader, writer;
};

TEST(LogTap, OnlyLinesWithTheWholeWord) {
  Pipe pipe;
  AddLogTap("cipcb1", std::move(pipe.writer));
  Log(Severity::kError, "tunnel cipcb1 is up");
  Log(Severity::kError, "tunnel cipcb10 is up");
  Log(Severity::kError, "tunnel xcipcb1 is up");
  Log(Severity::kError, "cipcb10, cipcb1: both");
  Log(Severity::kError, "other");
  EXPECT_EQ(pipe.Read(), "tunnel cipcb1 is up\ncipcb10, cipcb1: both\n");
  RemoveLogTap("cipcb1");
  Log(Severity::kError, "tunnel cipcb1 is down");
  EXPECT_EQ(pipe.Read(), "");
}

// Terminals obey U+0080 to U+009F as they do escape sequences.
TEST(Log, ControlCharactersAreEscapedAndLettersAreNot) {
  testing::internal::CaptureStderr();
  Log(Severity::kError,
      "a\x1b[2J \xc2\x9b\x32J \x9b \xff \xe2\x82 \xed\xa0\x80 K\xc3\xb6ln \xe2\x82\xac");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "a\\x1b[2J \\xc2\\x9b2J \\x9b \\xff \\xe2\\x82 \\xed\\xa0\\x80 K\xc3\xb6ln "
            "\xe2\x82\xac\n");
}

TEST(LogTap, FullTapNeverBlocks) {
  Pipe pipe;
  AddLogTap("full", std::move(pipe.writer));
  testing::internal::CaptureStderr();
  for (int i = 0; i < 5000; ++i) Log(Severity::kError, "full ", std::string(100, 'x'));
  testing::internal::GetCapturedStderr();
  EXPECT_FALSE(pipe.Read().empty());
  RemoveLogTap("full");
}

}  // namespace
}  // namespace cipe
