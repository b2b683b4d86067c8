// The same fixtures as natively, through the verified program in the kernel (BPF_PROG_RUN).
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include "steering/program.h"
#include "tests/bpf/fixtures.h"
#include "tests/bpf/native_world.h"
#include "tests/bpf/privilege.h"

namespace cipe::bpftest {
namespace {

using steering::DropCounts;
using steering::MapSet;
using steering::ProgramOptions;
using steering::XdpProgram;

class ProgRun : public testing::Test {
 protected:
  void Start(uint32_t rate, uint32_t burst, bool with_socket) {
    auto maps = MapSet::Create();
    ASSERT_TRUE(maps.ok()) << maps.status();
    maps_ = std::make_unique<MapSet>(*std::move(maps));
    auto program = XdpProgram::Load(*maps_, {.control_rate = rate, .control_burst = burst});
    ASSERT_TRUE(program.ok()) << program.status();
    program_ = std::make_unique<XdpProgram>(*std::move(program));
    const World world = MakeWorld();
    std::array<uint8_t, 6> mac;
    std::copy(world.carrier.mac, world.carrier.mac + 6, mac.begin());
    ASSERT_TRUE(program_->SetCarrier(mac, 1).ok());
    for (const auto& [key, listener] : world.listeners) {
      ASSERT_TRUE(maps_->listeners().Update(key, listener).ok());
    }
    for (const auto& [index, session] : world.sessions) {
      ASSERT_TRUE(maps_->sessions().Update(index, session).ok());
    }
    if (!with_socket) return;
    // Unbound: BPF_PROG_RUN ends with the verdict, nothing is ever delivered to it.
    socket_.reset(socket(AF_XDP, SOCK_RAW, 0));
    ASSERT_TRUE(socket_.valid());
    ASSERT_TRUE(program_->SetSocket(0, socket_.get()).ok());
  }

  int Run(const Octets& frame) {
    bpf_test_run_opts options{};
    Octets out(frame.size() + 64);
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = static_cast<uint32_t>(frame.size());
    options.data_out = out.data();
    options.data_size_out = static_cast<uint32_t>(out.size());
    options.repeat = 1;
    const int error = bpf_prog_test_run_opts(program_->program_fd(), &options);
    EXPECT_EQ(error, 0);
    out.resize(options.data_size_out);
    EXPECT_EQ(out, frame) << "the program must not change frames";
    return static_cast<int>(options.retval);
  }

  DropCounts Drops() { return maps_->Drops().value(); }

  // The fixture's verdict, and that exactly the right counter moved by exactly one.
  void Check(const Fixture& fixture, int expected_action, bool steered) {
    SCOPED_TRACE(fixture.description);
    for (int i = 1; i < fixture.repeat; ++i) EXPECT_EQ(Run(fixture.packet), XDP_PASS);
    DropCounts expected = Drops();
    const cipe_peer_stats before = maps_->PeerStats(fixture.peer).value();
    EXPECT_EQ(Run(fixture.packet), expected_action);
    if (fixture.verdict == Verdict::kDrop) ++expected[fixture.reason];
    EXPECT_EQ(Drops(), expected);
    const cipe_peer_stats after = maps_->PeerStats(fixture.peer).value();
    const bool counted = steered && fixture.peer != 0;
    EXPECT_EQ(after.steered_frames, before.steered_frames + counted);
    EXPECT_EQ(after.steered_bytes, before.steered_bytes + (counted ? fixture.packet.size() : 0));
  }

  std::unique_ptr<MapSet> maps_;
  std::unique_ptr<XdpProgram> program_;
  UniqueFd socket_;
};

TEST_F(ProgRun, EveryFixtureWithSocket) {
  ASSERT_NO_FATAL_FAILURE(Start(kControlRate, kControlBurst, true));
  for (const Fixture& fixture : MakeFixtures()) {
    const int action = fixture.verdict == Verdict::kSteer  ? XDP_REDIRECT
                       : fixture.verdict == Verdict::kDrop ? XDP_DROP
                                                           : XDP_PASS;
    Check(fixture, action, fixture.verdict == Verdict::kSteer);
  }
}

TEST_F(ProgRun, WithoutSocketGoodFramesPassAndAreNotCountedAsSteered) {
  ASSERT_NO_FATAL_FAILURE(Start(kControlRate, kControlBurst, false));
  for (const Fixture& fixture : MakeFixtures()) {
    Check(fixture, fixture.verdict == Verdict::kDrop ? XDP_DROP : XDP_PASS, false);
  }
}

TEST_F(ProgRun, ClearedSocketPassesAgain) {
  ASSERT_NO_FATAL_FAILURE(Start(0, 0, true));
  const Octets frame = MakeFixtures().front().packet;
  EXPECT_EQ(Run(frame), XDP_REDIRECT);
  ASSERT_TRUE(program_->ClearSocket(0).ok());
  EXPECT_EQ(Run(frame), XDP_PASS);
  ASSERT_TRUE(program_->SetSocket(0, socket_.get()).ok());
  EXPECT_EQ(Run(frame), XDP_REDIRECT);
  socket_.reset();  // closing it takes it out of the map
  EXPECT_EQ(Run(frame), XDP_PASS);
}

TEST_F(ProgRun, RateZeroSwitchesTheControlLimitOff) {
  ASSERT_NO_FATAL_FAILURE(Start(0, 0, false));
  for (const Fixture& fixture : MakeFixtures()) {
    if (fixture.reason != cipe_drop_xdp_control_flood) continue;
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(Run(fixture.packet), XDP_PASS);
  }
}

TEST_F(ProgRun, AgreesWithTheNativeBuildOnDamagedFrames) {
  ASSERT_NO_FATAL_FAILURE(Start(0, 0, true));
  NativeWorld native(MakeWorld(), 0, 0);
  constexpr int kActions[] = {XDP_PASS, XDP_DROP, XDP_REDIRECT};
  std::array<uint64_t, CIPE_DROP_REASONS> expected{};
  for (const Octets& frame : MutatedFrames(2, 20000)) {
    const native_result result = native.Run(frame);
    if (result.verdict == 1) ++expected[result.reason];
    ASSERT_EQ(Run(frame), kActions[result.verdict]);
  }
  EXPECT_EQ(Drops(), expected);
}

TEST_F(ProgRun, SocketBeyondTheLastQueueIsRefused) {
  ASSERT_NO_FATAL_FAILURE(Start(0, 0, true));
  EXPECT_TRUE(absl::IsOutOfRange(program_->SetSocket(CIPE_MAX_QUEUES, socket_.get())));
  EXPECT_TRUE(program_->ClearSocket(5).ok());
}

}  // namespace
}  // namespace cipe::bpftest
