// What is handed over arrives whole, and what is not ours is discarded instead of misread.
#include "broker/handover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../ipc/samples.h"
#include "broker/handover_door.h"
#include "ipc/memfd.h"

namespace cipe::broker {
namespace {

UniqueFd Pipe() {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  close(fds[1]);
  return UniqueFd(fds[0]);
}

// Which file a descriptor is, whatever its number.
ino_t Inode(int fd) {
  struct stat st {};
  EXPECT_EQ(fstat(fd, &st), 0);
  return st.st_ino;
}

Handover Sample() {
  Handover all;
  all.version = "0.1.0";
  all.config_dir = "/etc/cipe";
  all.state_dir = "/var/lib/cipe";
  all.starter_uid = 1000;
  all.until_last_down = true;
  all.seal_key.UnsafeMutableBytes()[31] = 7;
  all.next_tunnel = 9;
  all.next_peer = 12;
  all.peer_ids = {{"t/north", 11}};
  for (int i = 0; i < 8; ++i) all.maps.push_back(Pipe());
  all.listener = Pipe();
  all.runtime_lock = Pipe();
  all.state_lock = Pipe();
  all.carriers.push_back({"eth0", 3, Pipe()});
  TunnelHandover& tunnel = all.tunnels.emplace_back();
  tunnel.id = 8;
  tunnel.config = ipc::SampleTunnel();
  const std::string password = "secret";
  tunnel.config.classic->socks_password =
      SecretBytes::FromSpan({reinterpret_cast<const uint8_t*>(password.data()), password.size()});
  tunnel.peers.resize(2);
  tunnel.peers[1].peer = 11;
  tunnel.ifindex = 5;
  tunnel.listen_port = 6789;
  tunnel.mtu = 1420;
  tunnel.link_mtu = 1400;
  tunnel.smallest_mtu = 1400;
  tunnel.tso = tunnel.ip_up_ran = true;
  tunnel.ptpaddr = *IpAddress::Parse("10.0.1.2");
  tunnel.tun.push_back(Pipe());
  tunnel.tun.push_back(Pipe());
  tunnel.udp6 = Pipe();
  return all;
}

std::vector<UniqueFd> Sent(const PackedHandover& packed) {
  std::vector<UniqueFd> fds;
  fds.emplace_back(dup(packed.document.get()));
  for (const int fd : packed.fds) fds.emplace_back(dup(fd));
  return fds;
}

TEST(Handover, ArrivesWhole) {
  Handover sent = Sample();
  const auto packed = Pack(sent);
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_EQ(packed->fds.size(), 8u + 3 + 1 + 3);
  const auto got = Unpack(Sent(*packed));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->version, "0.1.0");
  EXPECT_EQ(got->state_dir, "/var/lib/cipe");
  EXPECT_EQ(got->starter_uid, 1000u);
  EXPECT_TRUE(got->until_last_down);
  EXPECT_TRUE(got->seal_key == sent.seal_key);
  EXPECT_EQ(got->next_tunnel, 9u);
  EXPECT_EQ(got->peer_ids[0].id, 11u);
  ASSERT_EQ(got->maps.size(), 8u);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(Inode(got->maps[i].get()), Inode(sent.maps[i].get()));
  EXPECT_EQ(Inode(got->state_lock.get()), Inode(sent.state_lock.get()));
  EXPECT_EQ(got->carriers[0].name, "eth0");
  EXPECT_EQ(Inode(got->carriers[0].link.get()), Inode(sent.carriers[0].link.get()));
  const TunnelHandover& a = got->tunnels[0];
  const TunnelHandover& b = sent.tunnels[0];
  EXPECT_TRUE(a.config == b.config) << "the SOCKS password included";
  EXPECT_EQ(a.peers[1].peer, 11u);
  EXPECT_EQ(a.link_mtu, 1400u);
  EXPECT_TRUE(a.tso && !a.uso && a.ip_up_ran);
  EXPECT_EQ(a.ptpaddr, b.ptpaddr);
  EXPECT_EQ(Inode(a.tun[1].get()), Inode(b.tun[1].get()));
  EXPECT_FALSE(a.udp4.valid());
  EXPECT_EQ(Inode(a.udp6.get()), Inode(b.udp6.get()));
}

TEST(Handover, TheDocumentIsWipedByItsReader) {
  Handover sent = Sample();
  const auto packed = Pack(sent);
  ASSERT_TRUE(packed.ok());
  ASSERT_TRUE(Unpack(Sent(*packed)).ok());
  char octets[64];
  ASSERT_EQ(pread(packed->document.get(), octets, sizeof octets, 0), 64);
  EXPECT_EQ(std::string(octets, 64), std::string(64, '\0'));
  EXPECT_EQ(Unpack(Sent(*packed)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Handover, AnotherFormatIsDiscarded) {
  for (const off_t field : {8, 12}) {  // version, ABI
    Handover sent = Sample();
    const auto packed = Pack(sent);
    ASSERT_TRUE(packed.ok());
    const uint32_t other = 4711;
    ASSERT_EQ(pwrite(packed->document.get(), &other, 4, field), 4);
    const auto got = Unpack(Sent(*packed));
    EXPECT_EQ(got.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(got.status().message().find("4711"), absl::string_view::npos) << got.status();
  }
}

TEST(Handover, DamageIsNoticed) {
  Handover sent = Sample();
  {  // a descriptor too few, and one too many
    auto packed = Pack(sent);
    auto fds = Sent(*packed);
    fds.pop_back();
    EXPECT_FALSE(Unpack(std::move(fds)).ok());
    packed = Pack(sent);
    fds = Sent(*packed);
    fds.push_back(Pipe());
    EXPECT_FALSE(Unpack(std::move(fds)).ok());
  }
  EXPECT_FALSE(Unpack({}).ok());
  std::vector<UniqueFd> no_document;
  no_document.push_back(Pipe());
  EXPECT_FALSE(Unpack(std::move(no_document)).ok());
  // Every octet of the text wrong in turn: never a crash, whatever it means then.
  const auto size = ipc::CheckSealedMemfd(Pack(sent)->document.get(), 1 << 20);
  ASSERT_TRUE(size.ok());
  for (off_t at = 0; at < static_cast<off_t>(*size); at += 3) {
    const auto packed = Pack(sent);
    const uint8_t wrong = 0xff;
    ASSERT_EQ(pwrite(packed->document.get(), &wrong, 1, at), 1);
    Unpack(Sent(*packed)).status().IgnoreError();
  }
}

TEST(TakeHandover, NobodyThereIsNoError) {
  const auto taken = TakeHandover("/nonexistent", {});
  EXPECT_EQ(taken.status().code(), absl::StatusCode::kNotFound) << taken.status();
}

}  // namespace
}  // namespace cipe::broker
