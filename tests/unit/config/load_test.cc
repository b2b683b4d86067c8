// Files: who may own them, who may read them, what they may be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "config/config.h"
#include "config/file.h"
#include "config/keys.h"

namespace cipe::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LoadTest : public testing::Test {
 protected:
  LoadTest() {
    std::string pattern = testing::TempDir() + "/cipe_config_XXXXXX";
    dir_ = mkdtemp(pattern.data());
  }
  ~LoadTest() override { std::filesystem::remove_all(dir_); }

  std::string Write(const std::string& name, absl::string_view text, mode_t mode) {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
  absl::Status Load(absl::string_view name = "t") { return LoadTunnel(dir_, name).status(); }

  const std::string key_ = EncodeBase64(std::vector<uint8_t>(32, 0x42));
  const std::string inline_ = "[Interface]\nPrivateKey = " + key_ + "\n";
  const std::string by_file_ = "[Interface]\nPrivateKeyFile = key\n";
  std::string dir_;
};

TEST_F(LoadTest, ClassicOptionsStayPrivateWhateverIsInThem) {
  const std::string options = "nokey\npeer 10.0.0.2:1\nipaddr 10.0.1.1\nptpaddr 10.0.1.2\n";
  Write("t.conf", options, 0600);
  EXPECT_TRUE(Load().ok()) << Load();
  Write("t.conf", options, 0644);
  EXPECT_TRUE(absl::IsPermissionDenied(Load())) << Load();
}

TEST_F(LoadTest, InlineSecretsNeedAPrivateFile) {
  Write("t.conf", inline_, 0600);
  const auto t = LoadTunnel(dir_, "t");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->name, "t");
  EXPECT_EQ(t->private_key->UnsafeBytes()[0], 0x42);
  for (const mode_t mode : {0640, 0604, 0601, 0610, 0660}) {
    Write("t.conf", inline_, mode);
    const absl::Status s = Load();
    EXPECT_TRUE(absl::IsPermissionDenied(s)) << std::oct << mode << s;
    if (mode != 0660) {
      EXPECT_THAT(std::string(s.message()),
                  HasSubstr(absl::StrCat("'chmod 600 ", dir_, "/t.conf'")));
    }
  }
}

TEST_F(LoadTest, WithoutInlineSecretsReadableIsFineWritableIsNot) {
  Write("key", key_ + "\n", 0400);
  Write("t.conf", by_file_, 0644);
  EXPECT_TRUE(Load().ok()) << Load();
  for (const mode_t mode : {0664, 0646}) {
    Write("t.conf", by_file_, mode);
    EXPECT_TRUE(absl::IsPermissionDenied(Load()));
    EXPECT_THAT(std::string(Load().message()), HasSubstr("chmod go-w"));
  }
}

TEST_F(LoadTest, KeyFilesMustBePrivate) {
  Write("t.conf", by_file_, 0644);
  for (const mode_t mode : {0640, 0604, 0620, 0601}) {
    Write("key", key_, mode);
    const absl::Status s = Load();
    EXPECT_TRUE(absl::IsPermissionDenied(s)) << s;
    EXPECT_THAT(std::string(s.message()),
                HasSubstr(absl::StrCat("t.conf:2:18: ", dir_, "/key: holds a secret")));
    EXPECT_THAT(std::string(s.message()), HasSubstr("chmod 600"));
  }
}

TEST_F(LoadTest, KeyFileMayEndInNewlines) {
  Write("t.conf", by_file_, 0644);
  for (const char* end : {"", "\n", "\r\n", " \n\n"}) {
    Write("key", key_ + end, 0600);
    EXPECT_TRUE(Load().ok()) << Load();
  }
  Write("key", key_ + "\n" + key_ + "\n", 0600);
  EXPECT_EQ(Load().code(), absl::StatusCode::kInvalidArgument);
  Write("key", "", 0600);
  EXPECT_THAT(std::string(Load().message()), HasSubstr("found 0 characters"));
}

TEST_F(LoadTest, WrongOwnerIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "giving files away needs root";
  const std::string path = Write("t.conf", inline_, 0600);
  ASSERT_EQ(chown(path.c_str(), 12345, 0), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(Load()));
  EXPECT_THAT(std::string(Load().message()), HasSubstr("belongs to user 12345"));
  Write("t2.conf", by_file_, 0644);
  const std::string key = Write("key", key_, 0600);
  ASSERT_EQ(chown(key.c_str(), 12345, 0), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(Load("t2")));
}

TEST_F(LoadTest, MissingFilesAndBadNames) {
  EXPECT_TRUE(absl::IsNotFound(Load()));
  EXPECT_THAT(std::string(Load().message()), HasSubstr(dir_ + "/t.conf"));
  Write("t.conf", by_file_, 0644);
  EXPECT_TRUE(absl::IsNotFound(Load())) << "key file";
  EXPECT_EQ(Load("../t").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Load("").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(LoadTest, SymbolicLinksAreJudgedByWhatTheyLeadTo) {
  const std::string target = Write("target", inline_, 0600);
  ASSERT_EQ(symlink(target.c_str(), (dir_ + "/t.conf").c_str()), 0);
  EXPECT_TRUE(Load().ok()) << Load();
  chmod(target.c_str(), 0644);
  EXPECT_TRUE(absl::IsPermissionDenied(Load()));
  ASSERT_EQ(symlink("loop.conf", (dir_ + "/loop.conf").c_str()), 0);
  EXPECT_FALSE(Load("loop").ok());
}

TEST_F(LoadTest, SpecialFilesAreRefusedWithoutHanging) {
  ASSERT_EQ(mkfifo((dir_ + "/t.conf").c_str(), 0600), 0);
  EXPECT_THAT(std::string(Load().message()), HasSubstr("not a regular file"));
  ASSERT_EQ(mkdir((dir_ + "/d.conf").c_str(), 0700), 0);
  EXPECT_THAT(std::string(Load("d").message()), HasSubstr("not a regular file"));
  Write("n.conf", "[Interface]\nPrivateKeyFile = /dev/zero\n", 0644);
  EXPECT_THAT(std::string(Load("n").message()), HasSubstr("not a regular file"));
  Write("p.conf", "[Interface]\nPrivateKeyFile = /proc/self/environ\n", 0644);
  EXPECT_FALSE(Load("p").ok());
}

TEST_F(LoadTest, SizeLimits) {
  const std::string path = Write("t.conf", "", 0600);
  ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(kMaxConfigFileSize) + 1), 0);
  EXPECT_THAT(std::string(Load().message()), HasSubstr("larger than 16777216"));
  Write("k.conf", by_file_, 0600);
  const std::string key = Write("key", "", 0600);
  ASSERT_EQ(truncate(key.c_str(), static_cast<off_t>(kMaxKeyFileSize) + 1), 0);
  EXPECT_THAT(std::string(Load("k").message()), HasSubstr("larger than 1048576"));
}

TEST_F(LoadTest, ListsTunnels) {
  for (const char* name :
       {"b.conf", "a.conf", "key", ".conf", "-x.conf", "far-too-long-a-name.conf"}) {
    Write(name, "", 0600);
  }
  EXPECT_THAT(*ListTunnels(dir_), ElementsAre("a", "b"));
  EXPECT_TRUE(absl::IsNotFound(ListTunnels(dir_ + "/nothere").status()));
}

TEST(ResolveKeyPath, RelativeToTheConfigFile) {
  EXPECT_EQ(ResolveKeyPath("/etc/cipe/t.conf", "k"), "/etc/cipe/k");
  EXPECT_EQ(ResolveKeyPath("/etc/cipe/t.conf", "/k"), "/k");
  EXPECT_EQ(ResolveKeyPath("t.conf", "keys/k"), "keys/k");
}

}  // namespace
}  // namespace cipe::config
