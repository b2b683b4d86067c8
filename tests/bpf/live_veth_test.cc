// The whole receive road on a veth pair in a network namespace of this process's own: native XDP,
// real AF_XDP sockets in copy mode, other people's programs, sudden death.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "steering/program.h"
#include "tests/bpf/fixtures.h"
#include "tests/bpf/privilege.h"
#include "xsk/umem.h"
#include "xsk/xsk_rings.h"
#include "xsk/xsk_socket.h"

namespace cipe::bpftest {
namespace {

using steering::MapSet;
using steering::QueryAttached;
using steering::XdpProgram;
using testing::HasSubstr;

constexpr xsk::UmemLayout kLayout{.frame_size = 2048, .frame_count = 256, .headroom = 0};
constexpr xsk::RingSizes kRings{.fill = 128, .completion = 128, .rx = 128, .tx = 128};

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// One namespace for the process: it goes with it, links and all.
const bool kOwnNamespace = test::Require(test::OwnNetworkNamespace);

bool Readable(int fd, int timeout_ms) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, timeout_ms) == 1;
}

class LiveVeth : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(system("ip link add ours type veth peer name theirs && "
                     "ip link set ours address 02:00:00:00:00:01 && "
                     "ip addr add 192.0.2.1/24 dev ours && "
                     "ip link set ours up && ip link set theirs up"),
              0);
    ours_ = if_nametoindex("ours");
    theirs_ = if_nametoindex("theirs");
    auto maps = MapSet::Create();
    ASSERT_TRUE(maps.ok()) << maps.status();
    maps_ = std::make_unique<MapSet>(*std::move(maps));
    const World world = MakeWorld();
    for (const auto& [key, listener] : world.listeners) {
      ASSERT_TRUE(maps_->listeners().Update(key, listener).ok());
    }
    for (const auto& [index, session] : world.sessions) {
      ASSERT_TRUE(maps_->sessions().Update(index, session).ok());
    }
    wire_.reset(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(theirs_);
    ASSERT_EQ(bind(wire_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void TearDown() override { EXPECT_EQ(system("ip link del ours"), 0); }

  XdpProgram Load() {
    auto program = XdpProgram::Load(*maps_, {});
    EXPECT_TRUE(program.ok()) << program.status();
    EXPECT_TRUE(program->SetCarrier({2, 0, 0, 0, 0, 1}, 1).ok());
    return *std::move(program);
  }

  void Send(const Octets& frame) {
    ASSERT_EQ(send(wire_.get(), frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  }

  // Copies of `packet` among what the other end of the wire has received, 8 of them at most.
  int Arrived(const Octets& packet) {
    int count = 0;
    Octets received(2000);
    while (count < 8 && Readable(wire_.get(), 200)) {
      const ssize_t size = recv(wire_.get(), received.data(), received.size(), 0);
      if (size == static_cast<ssize_t>(packet.size()) &&
          std::equal(packet.begin(), packet.end(), received.begin())) {
        ++count;
      }
    }
    return count;
  }

  // Somebody else's program: XDP_PASS, attached without a link.
  UniqueFd AttachForeign(uint32_t ifindex, uint32_t flags) {
    const bpf_insn code[] = {{0xb7, 0, 0, 0, XDP_PASS}, {0x95, 0, 0, 0, 0}};
    UniqueFd fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign_pass", "GPL", code, 2, nullptr));
    EXPECT_TRUE(fd.valid());
    EXPECT_EQ(bpf_xdp_attach(static_cast<int>(ifindex), fd.get(), flags, nullptr), 0);
    return fd;
  }

  uint32_t ours_ = 0, theirs_ = 0;
  std::unique_ptr<MapSet> maps_;
  UniqueFd wire_;
};

Octets DataPacket() { return MakeFixtures().front().packet; }

TEST_F(LiveVeth, SteersDropsAndPasses) {
  auto umem = xsk::UmemRegion::Create(kLayout);
  ASSERT_TRUE(umem.ok()) << umem.status();
  auto made = xsk::XskSocket::Open(ours_, 0, *umem, {.rings = kRings});
  ASSERT_TRUE(made.ok()) << made.status();
  // The engine's half, before the broker binds: another mapping of the same memory, rings from the
  // descriptor alone.
  auto engine = xsk::UmemRegion::Adopt(UniqueFd(dup(umem->fd())), kLayout);
  ASSERT_TRUE(engine.ok()) << engine.status();
  auto rings = xsk::XskRings::Map(made->fd(), made->rings());
  ASSERT_TRUE(rings.ok()) << rings.status();
  xsk::FramePool pool(kLayout);
  const auto refill = [&](uint32_t count) {
    std::vector<uint64_t> frames(count);
    ASSERT_EQ(pool.Take(absl::MakeSpan(frames)), count);
    uint32_t slot = 0;
    ASSERT_EQ(rings->fill().Reserve(count, &slot), count);
    for (uint32_t i = 0; i < count; ++i) rings->fill().At(slot + i) = frames[i];
    rings->fill().Submit(count);
    if (made->bound()) {
      EXPECT_EQ(rings->KickRx(), 0);
    }
  };
  ASSERT_NO_FATAL_FAILURE(refill(64));
  ASSERT_TRUE(made->Bind().ok());
  EXPECT_FALSE(made->zero_copy());
  EXPECT_THAT(made->copy_reason(), HasSubstr("no zero copy"));

  XdpProgram program = Load();
  ASSERT_TRUE(program.SetSocket(0, made->fd()).ok());
  const absl::Status attached = program.Attach(ours_);
  ASSERT_TRUE(attached.ok()) << attached;
  const auto query = QueryAttached(ours_).value();
  ASSERT_TRUE(query.has_value());
  EXPECT_EQ(query->mode, "native");
  EXPECT_EQ(query->name, "cipe_xdp");
  EXPECT_EQ(query->id, program.program_id());

  // Three times around the fill ring, so that slots and frames are used again.
  const Octets packet = DataPacket();
  for (int round = 0; round < 400; ++round) {
    Octets sent = packet;
    sent.back() = static_cast<uint8_t>(round);
    ASSERT_NO_FATAL_FAILURE(Send(sent));
    ASSERT_TRUE(Readable(made->fd(), 2000)) << "round " << round;
    uint32_t slot = 0;
    ASSERT_EQ(rings->rx().Peek(8, &slot), 1u);
    const xdp_desc descriptor = rings->rx().At(slot);
    ASSERT_TRUE(engine->Holds(descriptor.addr, descriptor.len));
    const uint8_t* data = engine->At(descriptor.addr);
    ASSERT_EQ(Octets(data, data + descriptor.len), sent);
    ASSERT_TRUE(pool.Give(descriptor.addr));
    rings->rx().Release(1);
    ASSERT_NO_FATAL_FAILURE(refill(1));
    ASSERT_EQ(pool.outstanding(), 64u);
  }
  EXPECT_EQ(maps_->PeerStats(42).value().steered_frames, 400u);
  EXPECT_EQ(rings->Statistics().value().rx_dropped, 0u);

  UniqueFd kernel_road(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_port = htons(6789);
  local.sin_addr.s_addr = inet_addr("192.0.2.1");
  ASSERT_EQ(bind(kernel_road.get(), reinterpret_cast<sockaddr*>(&local), sizeof local), 0);
  PacketSpec control;
  control.payload = Octets(148, 0x51);
  ASSERT_NO_FATAL_FAILURE(Send(Build(control)));
  EXPECT_TRUE(Readable(kernel_road.get(), 2000)) << "control frames go to the kernel's socket";
  Octets received(2000);
  EXPECT_EQ(recv(kernel_road.get(), received.data(), received.size(), MSG_DONTWAIT), 148);

  PacketSpec junk;
  junk.payload = Octets(148, 0x99);
  ASSERT_NO_FATAL_FAILURE(Send(Build(junk)));
  EXPECT_FALSE(Readable(kernel_road.get(), 100));
  EXPECT_EQ(maps_->Drops().value()[cipe_drop_xdp_unknown_type], 1u);

  ASSERT_TRUE(program.ClearSocket(0).ok());
  ASSERT_NO_FATAL_FAILURE(Send(packet));
  EXPECT_TRUE(Readable(kernel_road.get(), 2000)) << "without a socket data passes to the slow path";
  program.Detach();
  EXPECT_FALSE(QueryAttached(ours_).value().has_value());
}

TEST_F(LiveVeth, SendsThroughTheTxRing) {
  auto umem = xsk::UmemRegion::Create(kLayout);
  ASSERT_TRUE(umem.ok()) << umem.status();
  auto made = xsk::XskSocket::Open(
      ours_, 0, *umem,
      {.mode = xsk::CopyMode::kCopy, .rings = {.fill = 64, .completion = 64, .rx = 0, .tx = 64}});
  ASSERT_TRUE(made.ok()) << made.status();
  auto rings = xsk::XskRings::Map(made->fd(), made->rings());
  ASSERT_TRUE(rings.ok()) << rings.status();
  ASSERT_TRUE(made->Bind().ok());
  EXPECT_EQ(made->copy_reason(), "");
  xsk::FramePool pool(kLayout);
  const Octets packet = DataPacket();
  int arrived = 0;
  for (int round = 0; round < 40; ++round) {
    uint64_t frames[8];
    ASSERT_EQ(pool.Take(absl::MakeSpan(frames)), 8u);
    uint32_t slot = 0;
    ASSERT_EQ(rings->tx().Reserve(8, &slot), 8u);
    for (uint32_t i = 0; i < 8; ++i) {
      std::copy(packet.begin(), packet.end(), umem->At(frames[i]));
      rings->tx().At(slot + i) = {frames[i], static_cast<uint32_t>(packet.size()), 0};
    }
    rings->tx().Submit(8);
    EXPECT_TRUE(rings->tx().NeedsWakeup()) << "copy mode sends only when asked to";
    uint32_t done = 0;
    for (int tries = 0; done < 8 && tries < 200; ++tries) {
      ASSERT_EQ(rings->KickTx(), 0);
      uint32_t first = 0;
      const uint32_t got = rings->completion().Peek(8, &first);
      for (uint32_t i = 0; i < got; ++i) EXPECT_TRUE(pool.Give(rings->completion().At(first + i)));
      rings->completion().Release(got);
      done += got;
      if (done < 8) usleep(1000);
    }
    ASSERT_EQ(done, 8u);
    ASSERT_EQ(pool.outstanding(), 0u);
    EXPECT_EQ(rings->tx().Pending(), 0u);
    arrived += Arrived(packet);  // every round: the capture's buffer is small
  }
  EXPECT_EQ(arrived, 320);
}

TEST_F(LiveVeth, SomebodyElsesProgramStays) {
  const struct {
    uint32_t flags;
    const char* mode;
  } kWays[] = {{XDP_FLAGS_DRV_MODE, "native"}, {XDP_FLAGS_SKB_MODE, "generic"}};
  for (const auto& way : kWays) {
    UniqueFd foreign = AttachForeign(ours_, way.flags);
    const uint32_t id = QueryAttached(ours_).value()->id;
    XdpProgram program = Load();
    const absl::Status refused = program.Attach(ours_);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(Message(refused), HasSubstr("'foreign_pass' (id " + std::to_string(id)));
    EXPECT_THAT(Message(refused), HasSubstr(way.mode));
    EXPECT_FALSE(program.attached());
    EXPECT_EQ(QueryAttached(ours_).value()->id, id);
    ASSERT_EQ(bpf_xdp_detach(static_cast<int>(ours_), way.flags, nullptr), 0);
  }
}

TEST_F(LiveVeth, SecondDaemonIsRefusedByName) {
  XdpProgram first = Load();
  ASSERT_TRUE(first.Attach(ours_).ok());
  XdpProgram second = Load();
  const absl::Status refused = second.Attach(ours_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(Message(refused), HasSubstr("'cipe_xdp'"));
  EXPECT_EQ(QueryAttached(ours_).value()->id, first.program_id());
  first = std::move(second);  // destroys the first: its link goes with it
  EXPECT_FALSE(QueryAttached(ours_).value().has_value());
  EXPECT_TRUE(first.Attach(ours_).ok());
}

TEST_F(LiveVeth, NothingIsLeftOfAKilledProcess) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto program = XdpProgram::Load(*maps_, {});
    const char ok = program.ok() && program->Attach(ours_).ok() ? 1 : 0;
    if (write(ready[1], &ok, 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char ok = 0;
  ASSERT_EQ(read(ready[0], &ok, 1), 1);
  EXPECT_EQ(ok, 1);
  EXPECT_EQ(QueryAttached(ours_).value()->name, "cipe_xdp");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  // Links are released from a work queue: allow it a moment.
  bool gone = false;
  for (int i = 0; i < 200 && !gone; ++i) {
    gone = !QueryAttached(ours_).value().has_value();
    if (!gone) usleep(10000);
  }
  EXPECT_TRUE(gone);
}

TEST_F(LiveVeth, WhatCannotBeAttachedSaysWhy) {
  XdpProgram program = Load();
  const absl::Status loopback = program.Attach(if_nametoindex("lo"));
  EXPECT_TRUE(absl::IsUnimplemented(loopback)) << loopback;
  EXPECT_THAT(Message(loopback), HasSubstr("no native XDP"));
  EXPECT_FALSE(QueryAttached(if_nametoindex("lo")).value().has_value());
  ASSERT_EQ(system("ip link set ours mtu 9000 && ip link set theirs mtu 9000"), 0);
  const absl::Status jumbo = program.Attach(ours_);
  EXPECT_TRUE(absl::IsOutOfRange(jumbo)) << jumbo;
  EXPECT_THAT(Message(jumbo), HasSubstr("MTU"));
  EXPECT_FALSE(program.Attach(9999).ok());
}

TEST_F(LiveVeth, SocketsThatCannotBeSayWhy) {
  auto umem = xsk::UmemRegion::Create(kLayout);
  ASSERT_TRUE(umem.ok()) << umem.status();
  xsk::XskOptions options{.rings = kRings};
  const auto bind = [&](uint32_t ifindex, uint32_t queue) {
    auto made = xsk::XskSocket::Open(ifindex, queue, *umem, options);
    return made.ok() ? made->Bind() : made.status();
  };
  options.mode = xsk::CopyMode::kZeroCopy;
  const absl::Status no_driver = bind(ours_, 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(no_driver)) << no_driver;
  EXPECT_THAT(Message(no_driver), HasSubstr("ours queue 0"));
  options.mode = xsk::CopyMode::kCopy;
  EXPECT_TRUE(absl::IsNotFound(bind(ours_, 999)));
  EXPECT_TRUE(absl::IsNotFound(bind(9999, 0)));

  auto holder = xsk::XskSocket::Open(ours_, 0, *umem, options);
  ASSERT_TRUE(holder.ok()) << holder.status();
  ASSERT_TRUE(holder->Bind().ok());
  options.mode = xsk::CopyMode::kAuto;
  auto next = xsk::XskSocket::Open(ours_, 0, *umem, options);
  ASSERT_TRUE(next.ok()) << next.status();
  const absl::Status busy = next->Bind();
  EXPECT_TRUE(absl::IsUnavailable(busy)) << busy;
  EXPECT_THAT(Message(busy), HasSubstr("another AF_XDP socket"));
  // The old socket goes, and the same new one gets the queue: by work that the kernel does later.
  holder->TakeFd().reset();
  for (int i = 0; i < 300 && !next->bound(); ++i) {
    if (!next->Bind().ok()) usleep(10'000);
  }
  EXPECT_TRUE(next->bound());
}

TEST_F(LiveVeth, QueuesAreCounted) {
  EXPECT_EQ(xsk::RxQueueCount("ours").value(), 1u);
  ASSERT_EQ(system("ip link add many numrxqueues 4 numtxqueues 4 type veth peer name few"), 0);
  EXPECT_GE(xsk::RxQueueCount("many").value(), 1u);
  EXPECT_TRUE(absl::IsNotFound(xsk::RxQueueCount("nobody").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(xsk::RxQueueCount("../../etc").status()));
  EXPECT_EQ(system("ip link del many"), 0);
}

}  // namespace
}  // namespace cipe::bpftest
