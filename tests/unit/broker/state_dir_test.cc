#include "broker/state_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "broker/machine.h"

namespace cipe::broker {
namespace {

constexpr char kMachine[] = "0123456789abcdef0123456789abcdef";
constexpr char kOtherMachine[] = "0123456789abcdef0123456789abcdee";

class StateDirTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cipe-state-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    path_ = name;
  }
  void TearDown() override {
    for (const char* file : {"floors", "floors.corrupt", "wanted", "wanted.corrupt", "node-id",
                             "node-id.corrupt", "lock", "victim"}) {
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
  floors.sent["aa"] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  floors.sent["shared-bb"] = {1};
  floors.received[{"aa", "cc"}] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0xff, 0x80};
  floors.received[{"shared-bb", "shared-bb"}] = {2};
  return floors;
}

TEST_F(StateDirTest, FloorsComeBack) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(*state->LoadFloors(), Floors());
  ASSERT_TRUE(state->SaveFloors(SampleFloors()).ok());
  auto floors = state->LoadFloors();
  ASSERT_TRUE(floors.ok()) << floors.status();
  EXPECT_EQ(*floors, SampleFloors());
  EXPECT_FALSE(Exists("floors.new"));
  struct stat st {};
  ASSERT_EQ(stat((path_ + "/floors").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

// Whatever single octet is changed, and wherever the file ends early: never misread.
TEST_F(StateDirTest, AnyDamageIsSetAside) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(state->SaveFloors(SampleFloors()).ok());
  const std::string good = Read("floors");
  for (size_t i = 0; i < good.size(); ++i) {
    for (const bool cut : {false, true}) {
      std::string bad = good;
      if (cut) {
        bad.resize(i);
      } else {
        bad[i] ^= 1;
      }
      Write("floors", bad);
      auto floors = state->LoadFloors();
      ASSERT_TRUE(floors.ok());
      ASSERT_EQ(*floors, Floors()) << "octet " << i << (cut ? " cut" : " changed");
      ASSERT_TRUE(Exists("floors.corrupt"));
      ASSERT_FALSE(Exists("floors"));
      unlink((path_ + "/floors.corrupt").c_str());
    }
  }
  Write("floors", good);
  EXPECT_EQ(*state->LoadFloors(), SampleFloors());
}

TEST_F(StateDirTest, OneDaemonAtATime) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  const auto second = StateDir::Open(path_);
  ASSERT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
  EXPECT_NE(std::string(second.status().message()).find(absl::StrCat("process ", getpid())),
            std::string::npos);
  EXPECT_NE(std::string(second.status().message()).find("--state-dir"), std::string::npos);
  // A copy holds it too; the last one lets go.
  std::optional<StateDir> copy = *state;
  state = absl::InternalError("gone");
  EXPECT_FALSE(StateDir::Open(path_).ok());
  copy.reset();
  EXPECT_TRUE(StateDir::Open(path_).ok());
}

// Nothing that somebody laid there is emptied or written, wherever it points.
TEST_F(StateDirTest, LinksAreNotFollowed) {
  Write("victim", "precious");
  for (const char* trap : {"lock", "floors.new", ".probe"}) {
    ASSERT_EQ(symlink((path_ + "/victim").c_str(), (path_ + "/" + trap).c_str()), 0);
  }
  EXPECT_FALSE(StateDir::Open(path_).ok());
  unlink((path_ + "/lock").c_str());
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_FALSE(state->SaveFloors(SampleFloors()).ok());
  EXPECT_EQ(Read("victim"), "precious");
  unlink((path_ + "/floors.new").c_str());
  unlink((path_ + "/.probe").c_str());
}

TEST_F(StateDirTest, ADirectoryThatOthersCanWriteIsRefused) {
  for (const mode_t mode : {0777, 0770, 0702, 01777}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const auto state = StateDir::Open(path_);
    ASSERT_EQ(state.status().code(), absl::StatusCode::kPermissionDenied) << std::oct << mode;
    EXPECT_NE(std::string(state.status().message()).find("chmod go-w " + path_), std::string::npos);
  }
  ASSERT_EQ(chmod(path_.c_str(), 0755), 0);
  EXPECT_TRUE(StateDir::Open(path_).ok());
}

TEST_F(StateDirTest, SomebodyElsesDirectoryIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: chown";
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  const auto state = StateDir::Open(path_);
  ASSERT_EQ(state.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(std::string(state.status().message()).find("user 65534"), std::string::npos);
  ASSERT_EQ(chown(path_.c_str(), 0, 0), 0);
}

TEST_F(StateDirTest, TheUmaskDoesNotMatter) {
  const mode_t before = umask(0777);
  const auto state = StateDir::Open(path_ + "/deep");
  umask(before);
  ASSERT_TRUE(state.ok()) << state.status();
  struct stat st {};
  ASSERT_EQ(stat((path_ + "/deep").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700u);
  unlink((path_ + "/deep/lock").c_str());
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
  for (const char* machine : {"", kMachine}) {
    const auto first = state->NodeId(rng, machine);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_NE(*first, (std::array<uint8_t, 16>{}));
    state = absl::InternalError("gone");
    state = StateDir::Open(path_);
    EXPECT_EQ(*state->NodeId(rng, machine), *first);
    EXPECT_EQ(*state->NodeId(rng, ""), *first) << "without a machine id nothing is known to differ";
    unlink((path_ + "/node-id").c_str());
  }
}

TEST_F(StateDirTest, NodeIdIsNewOnACopy) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  SystemRng rng;
  const auto first = *state->NodeId(rng, kMachine);
  const auto copy = *state->NodeId(rng, kOtherMachine);
  EXPECT_NE(copy, first);
  EXPECT_EQ(*state->NodeId(rng, kOtherMachine), copy);
}

// Made before it was kept on which machine: valid as it is, and known from now on.
TEST_F(StateDirTest, NodeIdOfTheFirstVersionStays) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  SystemRng rng;
  const auto first = *state->NodeId(rng, "");
  EXPECT_EQ(Read("node-id").find("machine"), std::string::npos);
  EXPECT_EQ(*state->NodeId(rng, kMachine), first);
  EXPECT_EQ(*state->NodeId(rng, kMachine), first);
  EXPECT_NE(*state->NodeId(rng, kOtherMachine), first);
  EXPECT_FALSE(Exists("node-id.corrupt"));
}

TEST_F(StateDirTest, ABadMachineLineIsSetAside) {
  auto state = StateDir::Open(path_);
  ASSERT_TRUE(state.ok());
  ASSERT_TRUE(state->SaveWanted({std::string(32, 'a'), "machine"}).ok());
  ASSERT_EQ(rename((path_ + "/wanted").c_str(), (path_ + "/node-id").c_str()), 0);
  SystemRng rng;
  EXPECT_TRUE(state->NodeId(rng, kMachine).ok());
  EXPECT_TRUE(Exists("node-id.corrupt"));
}

TEST(Machine, IsTheSameEachTime) {
  const std::string machine = ThisMachine();
  if (machine.empty()) GTEST_SKIP() << "no /etc/machine-id here";
  EXPECT_EQ(machine.size(), kMachineDigits);
  EXPECT_EQ(machine, ThisMachine());
  std::ifstream file("/etc/machine-id");
  std::string id;
  file >> id;
  EXPECT_NE(machine, id) << "others use it as a secret";
}

TEST_F(StateDirTest, ADirectoryThatCannotBeIsNamed) {
  Write("wanted", "");
  const auto state = StateDir::Open(path_ + "/wanted");
  ASSERT_FALSE(state.ok());
  EXPECT_NE(std::string(state.status().message()).find(path_ + "/wanted"), std::string::npos);
  EXPECT_NE(std::string(state.status().message()).find("not a directory"), std::string::npos);
}

TEST(Identities, DependOnTheKeysAlone) {
  config::Tunnel tunnel;
  tunnel.peers.resize(1);
  config::Peer& a = tunnel.peers[0];
  a.public_key[0] = 0xab;
  EXPECT_FALSE(IdentitiesOf(tunnel).ok()) << "a key pair of our own is needed";
  std::array<uint8_t, 32> octets{};
  octets[0] = 0x40;
  tunnel.private_key = Secret<32>::FromSpan(octets);
  const Identities first = IdentitiesOf(tunnel)->at(0);
  EXPECT_EQ(first.peer.substr(0, 4), "ab00");
  EXPECT_EQ(first.own.size(), 64u);
  a.name = tunnel.name = "other";
  EXPECT_EQ(IdentitiesOf(tunnel)->at(0), first);
  octets[0] = 0x80;
  tunnel.private_key = Secret<32>::FromSpan(octets);
  EXPECT_NE(IdentitiesOf(tunnel)->at(0).own, first.own);
  EXPECT_EQ(IdentitiesOf(tunnel)->at(0).peer, first.peer);
}

TEST(Identities, OfASharedKeyAreOneForBothEnds) {
  config::Tunnel tunnel;
  tunnel.peers.resize(3);
  for (config::Peer& peer : tunnel.peers) {
    peer.auth = config::Auth::kSharedKey;
    peer.shared_key = SecretBytes(16);
  }
  tunnel.peers[1].name = "other";
  tunnel.peers[2].shared_key->UnsafeMutableBytes()[3] = 1;
  const std::vector<Identities> all = *IdentitiesOf(tunnel);
  EXPECT_EQ(all[0], all[1]);
  EXPECT_EQ(all[0].own, all[0].peer);
  EXPECT_NE(all[0], all[2]);
}

}  // namespace
}  // namespace cipe::broker
