#include "broker/state_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace cipe::broker {
namespace {

class StateDirTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cipe-state-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    path_ = name;
  }
  void TearDown() override {
    for (const char* file :
         {"site.floors", "site.floors.corrupt", "wanted", "wanted.corrupt", "node-id"}) {
      unlink((path_ + "/" + file).c_str());
    }
    rmdir((path_ + "/deep").c_str());
    EXPECT_EQ(rmdir(path_.c_str()), 0);
  }
  std::string Read(const std::string& file) {
    std::ifstream in(path_ + "/" + file);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }
  void Write(const std::string& file, const std::string& text) {
    std::ofstream(path_ + "/" + file) << text;
  }
  bool Exists(const std::string& file) { return access((path_ + "/" + file).c_str(), F_OK) == 0; }

  std::string path_;
};

Floors SampleFloors() {
  Floors floors;
  floors["aa"].sent_reserved = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  floors["shared-bb"].received = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0xff, 0x80};
  return floors;
}

TEST_F(StateDirTest, FloorsComeBack) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_TRUE(state->LoadFloors("site")->empty());
  ASSERT_TRUE(state->SaveFloors("site", SampleFloors()).ok());
  auto floors = state->LoadFloors("site");
  ASSERT_TRUE(floors.ok()) << floors.status();
  ASSERT_EQ(floors->size(), 2u);
  EXPECT_EQ(floors->at("aa").sent_reserved, SampleFloors()["aa"].sent_reserved);
  EXPECT_EQ(floors->at("shared-bb").received, SampleFloors()["shared-bb"].received);
  EXPECT_FALSE(Exists("site.floors.new"));
  struct stat st {};
  ASSERT_EQ(stat((path_ + "/site.floors").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

// Whatever single octet is changed, and wherever the file ends early: never misread.
TEST_F(StateDirTest, AnyDamageIsSetAside) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(state->SaveFloors("site", SampleFloors()).ok());
  const std::string good = Read("site.floors");
  for (size_t i = 0; i < good.size(); ++i) {
    for (const bool cut : {false, true}) {
      std::string bad = good;
      if (cut) {
        bad.resize(i);
      } else {
        bad[i] ^= 1;
      }
      Write("site.floors", bad);
      auto floors = state->LoadFloors("site");
      ASSERT_TRUE(floors.ok());
      ASSERT_TRUE(floors->empty()) << "octet " << i << (cut ? " cut" : " changed");
      ASSERT_TRUE(Exists("site.floors.corrupt"));
      ASSERT_FALSE(Exists("site.floors"));
      unlink((path_ + "/site.floors.corrupt").c_str());
    }
  }
  Write("site.floors", good);
  EXPECT_EQ(state->LoadFloors("site")->size(), 2u);
}

TEST_F(StateDirTest, WantedComesBack) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(state->LoadWanted()->empty());
  ASSERT_TRUE(state->SaveWanted({"site-b", "site-a"}).ok());
  EXPECT_EQ(*state->LoadWanted(), (std::vector<std::string>{"site-b", "site-a"}));
  ASSERT_TRUE(state->SaveWanted({}).ok());
  EXPECT_TRUE(state->LoadWanted()->empty());
}

TEST_F(StateDirTest, NodeIdStaysTheSame) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  SystemRng rng;
  const auto first = state->NodeId(rng);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NE(*first, (std::array<uint8_t, 16>{}));
  EXPECT_EQ(*StateDir::Open(path_)->NodeId(rng), *first);
}

TEST_F(StateDirTest, NamesThatAreNoTunnelsAreRefused) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  for (const char* name : {"", "../wanted", "a/b", ".."}) {
    EXPECT_FALSE(state->SaveFloors(name, {}).ok()) << name;
    EXPECT_FALSE(state->LoadFloors(name).ok()) << name;
  }
}

TEST_F(StateDirTest, ADirectoryThatCannotBeIsNamed) {
  Write("wanted", "");
  const auto state = StateDir::Open(path_ + "/wanted");
  ASSERT_FALSE(state.ok());
  EXPECT_NE(std::string(state.status().message()).find(path_ + "/wanted"), std::string::npos);
}

TEST(PeerIdentity, DependsOnTheKeyAlone) {
  config::Peer a;
  a.public_key[0] = 0xab;
  EXPECT_EQ(PeerIdentity(a).substr(0, 4), "ab00");
  EXPECT_EQ(PeerIdentity(a).size(), 64u);
  config::Peer s, t, u;
  for (config::Peer* p : {&s, &t, &u}) {
    p->auth = config::Auth::kSharedKey;
    p->shared_key = SecretBytes(16);
  }
  t.name = "other";
  u.shared_key->UnsafeMutableBytes()[3] = 1;
  EXPECT_EQ(PeerIdentity(s), PeerIdentity(t));
  EXPECT_NE(PeerIdentity(s), PeerIdentity(u));
}

}  // namespace
}  // namespace cipe::broker
