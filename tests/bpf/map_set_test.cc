// The daemon-wide maps: typed access, adoption, wiping, and use without privilege.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steering/maps.h"
#include "tests/bpf/privilege.h"

namespace cipe::steering {
namespace {

std::vector<UniqueFd> Copies(const MapSet& maps) {
  std::vector<UniqueFd> copies;
  for (int fd : maps.Fds()) copies.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  return copies;
}

MapSet NewMaps() {
  auto maps = MapSet::Create();
  EXPECT_TRUE(maps.ok()) << maps.status();
  return *std::move(maps);
}

// Runs `body` as an unprivileged user in a process of its own; its return value is the exit code.
template <typename Body>
int AsNobody(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(99);
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(MapSet, EntriesComeAndGo) {
  const MapSet maps = NewMaps();
  cipe_session session{};
  session.peer = 9;
  EXPECT_FALSE(maps.sessions().Lookup(1).value().has_value());
  for (uint32_t i = 0; i < 500; ++i) {
    session.generation = i;
    ASSERT_TRUE(maps.sessions().Update(i, session).ok());
  }
  EXPECT_EQ(maps.sessions().Lookup(77).value()->generation, 77u);
  std::vector<uint32_t> seen;
  const absl::Status walked = maps.sessions().ForEach([&](uint32_t key, const cipe_session& value) {
    EXPECT_EQ(value.generation, key);
    seen.push_back(key);
    EXPECT_TRUE(maps.sessions().Delete(key).value());
  });
  EXPECT_TRUE(walked.ok()) << walked;
  EXPECT_EQ(seen.size(), 500u);
  EXPECT_TRUE(maps.sessions().Keys().value().empty());
  EXPECT_FALSE(maps.sessions().Delete(77).value());
}

TEST(MapSet, FullMapIsResourceExhausted) {
  const MapSet maps = NewMaps();
  cipe_listener_key key{};
  for (uint32_t i = 0; i < CIPE_MAX_LISTENERS; ++i) {
    key.vlan = i;
    ASSERT_TRUE(maps.listeners().Update(key, {}).ok());
  }
  key.vlan = CIPE_MAX_LISTENERS;
  EXPECT_TRUE(absl::IsResourceExhausted(maps.listeners().Update(key, {})));
}

TEST(MapSet, AdoptedMapsAreTheSameMaps) {
  const MapSet maps = NewMaps();
  auto adopted = MapSet::FromFds(Copies(maps));
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  cipe_peer peer{};
  peer.tunnel = 5;
  ASSERT_TRUE(maps.peers().Update(3, peer).ok());
  EXPECT_EQ(adopted->peers().Lookup(3).value()->tunnel, 5u);
}

TEST(MapSet, ForeignDescriptorsAreRefused) {
  const MapSet maps = NewMaps();
  EXPECT_TRUE(absl::IsFailedPrecondition(MapSet::FromFds({}).status()));
  auto swapped = Copies(maps);
  std::swap(swapped[0], swapped[1]);
  const absl::Status status = MapSet::FromFds(std::move(swapped)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("cipe_listeners"));
  auto no_map = Copies(maps);
  no_map[2].reset(open("/dev/null", O_RDONLY));
  EXPECT_TRUE(absl::IsFailedPrecondition(MapSet::FromFds(std::move(no_map)).status()));
}

TEST(SessionKeys, DeletingWipesInPlaceFirst) {
  const MapSet maps = NewMaps();
  cipe_session_key key{};
  key.version = CIPE_ABI_VERSION;
  memset(key.sealed, 0xaa, sizeof key.sealed);
  ASSERT_TRUE(maps.session_keys().Update(7, key).ok());
  ASSERT_TRUE(maps.session_keys().Update(8, key).ok());
  const auto read = maps.session_keys().Lookup(7).value();
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(memcmp(&*read, &key, sizeof key), 0);
  EXPECT_TRUE(maps.session_keys().Delete(7).value());
  EXPECT_FALSE(maps.session_keys().Delete(7).value());
  EXPECT_FALSE(maps.session_keys().Lookup(7).value().has_value());
  EXPECT_TRUE(maps.session_keys().Lookup(8).value().has_value());
  EXPECT_TRUE(maps.session_keys().WipeAll().ok());
  EXPECT_TRUE(maps.session_keys().Keys().value().empty());
}

// BPF_F_LOCK is what makes an update overwrite in place; the kernel refuses it for maps without a
// lock in their value, so this fails if the layout ever loses the lock.
TEST(SessionKeys, OnlyThisMapTakesLockedUpdates) {
  const MapSet maps = NewMaps();
  const uint32_t key = 1;
  cipe_session_key value{};
  cipe_peer peer{};
  EXPECT_EQ(bpf_map_update_elem(maps.fd(MapId::kSessionKeys), &key, &value, BPF_F_LOCK), 0);
  EXPECT_NE(bpf_map_update_elem(maps.fd(MapId::kPeers), &key, &peer, BPF_F_LOCK), 0);
}

TEST(MapSet, UnprivilegedHolderOfDescriptorsWorks) {
  MapSet maps = NewMaps();
  ASSERT_EQ(AsNobody([&] {
              if (MapSet::Create().ok()) return 1;  // really without privilege
              auto adopted = MapSet::FromFds(Copies(maps));
              if (!adopted.ok()) return 2;
              cipe_session session{};
              session.peer = 1234;
              if (!adopted->sessions().Update(5, session).ok()) return 3;
              if (!adopted->session_keys().Update(5, {}).ok()) return 4;
              if (!adopted->session_keys().Delete(5).value_or(false)) return 5;
              if (!adopted->Drops().ok() || !adopted->PeerStats(1).ok()) return 6;
              if (adopted->sessions().Keys().value_or(std::vector<uint32_t>()).size() != 1)
                return 7;
              return 0;
            }),
            0);
  EXPECT_EQ(maps.sessions().Lookup(5).value()->peer, 1234u);
}

TEST(LaneState, SurvivesTheWritersDeath) {
  MapSet maps = NewMaps();
  EXPECT_EQ(AsNobody([&] {
              auto view = LaneStateView::Map(maps);
              if (!view.ok()) return 1;
              view->StoreSendReserved(CIPE_MAX_LANE_SLOTS - 1, 65536);
              view->StoreReceiveGreatest(CIPE_MAX_LANE_SLOTS - 1, 42);
              kill(getpid(), SIGKILL);
              return 2;
            }),
            100 + SIGKILL);
  auto view = LaneStateView::Map(maps);
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->LoadSendReserved(CIPE_MAX_LANE_SLOTS - 1), 65536u);
  EXPECT_EQ(view->LoadReceiveGreatest(CIPE_MAX_LANE_SLOTS - 1), 42u);
  EXPECT_EQ(view->LoadSendReserved(0), 0u);
  const uint32_t last = CIPE_MAX_LANE_SLOTS - 1;
  cipe_lane_state seen{};
  ASSERT_EQ(bpf_map_lookup_elem(maps.fd(MapId::kLaneState), &last, &seen), 0);
  EXPECT_EQ(seen.send_reserved, 65536u);
  view->Clear(last);
  EXPECT_EQ(view->LoadSendReserved(last), 0u);
}

TEST(MapSet, PeerStatsSumOverCpusAndGo) {
  const MapSet maps = NewMaps();
  const uint32_t peer = 6;
  std::vector<cipe_peer_stats> per_cpu(1024);
  for (auto& one : per_cpu) one = {1, 100};
  ASSERT_EQ(bpf_map_update_elem(maps.fd(MapId::kPeerStats), &peer, per_cpu.data(), BPF_ANY), 0);
  const cipe_peer_stats sum = maps.PeerStats(peer).value();
  EXPECT_GE(sum.steered_frames, 1u);
  EXPECT_EQ(sum.steered_bytes, 100 * sum.steered_frames);
  ASSERT_TRUE(maps.DeletePeerStats(peer).ok());
  EXPECT_EQ(maps.PeerStats(peer).value().steered_frames, 0u);
}

}  // namespace
}  // namespace cipe::steering
