// Options files: who may own them, who may read them, what their directories may be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/classic_parser.h"

namespace cipe::config {
namespace {

using testing::HasSubstr;

class ClassicFileTest : public testing::Test {
 protected:
  ClassicFileTest() {
    std::string pattern = "/tmp/cipe_options_XXXXXX";
    dir_ = mkdtemp(pattern.data());
  }
  ~ClassicFileTest() override { std::filesystem::remove_all(dir_); }

  std::string Write(const std::string& name, mode_t mode) {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << "nokey\n";
    chmod(path.c_str(), mode);
    return path;
  }
  static std::string ErrorOf(const std::string& path) {
    const auto text = ReadOptionsFile(path);
    EXPECT_FALSE(text.ok()) << path;
    return std::string(text.status().message());
  }
  std::string dir_;
};

TEST_F(ClassicFileTest, PrivateFileIsRead) {
  const auto text = ReadOptionsFile(Write("options", 0600));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->UnsafeView(), "nokey\n");
  EXPECT_TRUE(ReadOptionsFile(Write("readonly", 0400)).ok());
}

TEST_F(ClassicFileTest, OpenFilesAreRefusedWithTheWayOut) {
  for (const mode_t mode : {0640, 0604, 0620, 0601}) {
    const std::string path = Write("options", mode);
    EXPECT_TRUE(absl::IsPermissionDenied(ReadOptionsFile(path).status()));
    EXPECT_THAT(ErrorOf(path), HasSubstr("chmod 600 " + path));
  }
}

TEST_F(ClassicFileTest, PathsMustBeAbsoluteAndThere) {
  EXPECT_THAT(ErrorOf("options"), HasSubstr("absolute path"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("absolute path"));
  EXPECT_TRUE(absl::IsNotFound(ReadOptionsFile(dir_ + "/gone").status()));
}

TEST_F(ClassicFileTest, WritableDirectoryIsRefused) {
  const std::string path = Write("options", 0600);
  chmod(dir_.c_str(), 0770);
  EXPECT_THAT(ErrorOf(path), HasSubstr(dir_ + ": may be written by group or others"));
  chmod(dir_.c_str(), 01777);  // sticky: nobody else can replace the file
  EXPECT_TRUE(ReadOptionsFile(path).ok());
  chmod(dir_.c_str(), 0700);
}

TEST_F(ClassicFileTest, LinksAreJudgedByWhatTheyLeadTo) {
  const std::string path = Write("options", 0600);
  std::filesystem::create_directory(dir_ + "/open");
  chmod((dir_ + "/open").c_str(), 0777);
  std::ofstream(dir_ + "/open/real") << "nokey\n";
  chmod((dir_ + "/open/real").c_str(), 0600);
  std::filesystem::create_symlink(dir_ + "/open/real", dir_ + "/link");
  EXPECT_THAT(ErrorOf(dir_ + "/link"), HasSubstr("/open: may be written"));
}

// Who may write where a link stands chooses the file, wherever the link leads.
TEST_F(ClassicFileTest, DirectoriesOfLinksAreChecked) {
  const std::string path = Write("options", 0600);
  const std::string open = dir_ + "/open";
  std::filesystem::create_directory(open);
  std::filesystem::create_symlink(path, open + "/hop");
  std::filesystem::create_symlink(open + "/hop", dir_ + "/first");
  std::filesystem::create_symlink("../options", open + "/relative");
  for (const std::string& link : {open + "/hop", dir_ + "/first", open + "/relative"}) {
    EXPECT_TRUE(ReadOptionsFile(link).ok()) << link;
  }
  chmod(open.c_str(), 0777);
  for (const std::string& link : {open + "/hop", dir_ + "/first", open + "/relative"}) {
    EXPECT_THAT(ErrorOf(link), HasSubstr("/open: may be written")) << link;
  }
  std::filesystem::create_symlink(dir_ + "/round", dir_ + "/round");
  EXPECT_THAT(ErrorOf(dir_ + "/round"), HasSubstr("symbolic links"));
  if (geteuid() != 0) return;
  chmod(open.c_str(), 01777);
  ASSERT_EQ(lchown((open + "/hop").c_str(), 12345, 0), 0);
  EXPECT_THAT(ErrorOf(open + "/hop"), HasSubstr("belongs to user 12345"));
}

TEST_F(ClassicFileTest, OnlyRegularFiles) {
  EXPECT_THAT(ErrorOf(dir_), HasSubstr("not a regular file"));
  ASSERT_EQ(mkfifo((dir_ + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(dir_ + "/pipe"), HasSubstr("not a regular file"));
}

TEST_F(ClassicFileTest, ForeignOwnersAreRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  const std::string path = Write("options", 0600);
  ASSERT_EQ(chown(path.c_str(), 12345, 0), 0);
  EXPECT_THAT(ErrorOf(path), HasSubstr("belongs to user 12345, expected root"));
  ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  ASSERT_EQ(chown(dir_.c_str(), 12345, 0), 0);
  EXPECT_THAT(ErrorOf(path), HasSubstr(dir_ + ": belongs to user 12345"));
}

}  // namespace
}  // namespace cipe::config
