// Needs root: everything happens in a network namespace of a forked child.
#include "ports/tun_device.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cstring>

#include "packet/coalescer.h"
#include "packet/segmenter.h"
#include "ports/tun_port.h"
#include "ports/udp_port.h"
#include "ports/udp_socket.h"

namespace cipe::ports {
namespace {

constexpr int kSkip = 77;

// Runs `body` in a namespace of its own; 0 passed, else the number of the check that failed.
template <typename F>
void InNamespace(F body) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) _exit(unshare(CLONE_NEWNET) == 0 ? body() : kSkip);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == kSkip) {
    GTEST_SKIP() << "a network namespace or /dev/net/tun is not permitted here";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0) << "check of that number failed";
}

bool BringUp(const char* name, const char* address) {
  UniqueFd s(socket(AF_INET, SOCK_DGRAM, 0));
  ifreq r{};
  std::strncpy(r.ifr_name, name, IFNAMSIZ - 1);
  auto* in = reinterpret_cast<sockaddr_in*>(&r.ifr_addr);
  in->sin_family = AF_INET;
  inet_pton(AF_INET, address, &in->sin_addr);
  if (ioctl(s.get(), SIOCSIFADDR, &r) != 0) return false;
  inet_pton(AF_INET, "255.255.255.0", &in->sin_addr);
  if (ioctl(s.get(), SIOCSIFNETMASK, &r) != 0) return false;
  r.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(s.get(), SIOCSIFFLAGS, &r) == 0;
}

TEST(TunDevice, RefusesNamesAndQueueCounts) {
  for (const char* name : {"", "sixteen-letters-", "a/b", "a b", "t%d"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CreateTunDevice({name, 1, true}).status())) << name;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(CreateTunDevice({"x", 0, true}).status()));
}

TEST(TunDevice, TakenNamesAreRefusedAndQueuesCounted) {
  InNamespace([] {
    auto first = CreateTunDevice({"t0", 2, true});
    if (absl::IsPermissionDenied(first.status()) || absl::IsUnavailable(first.status())) {
      return kSkip;
    }
    if (!first.ok() || first->queues.size() != 2) return 1;
    if (!first->features.tso || !first->features.checksum) return 2;
    if (!absl::IsAlreadyExists(CreateTunDevice({"t0", 1, true}).status())) return 3;
    first->queues.clear();
    return CreateTunDevice({"t0", 1, false}).ok() ? 0 : 4;
  });
}

// A run of datagrams goes out through the device, is cut into packets, turned round, joined and
// written back; the kernel must deliver each datagram to the sender's own socket.
int Echo() {
  auto device = CreateTunDevice({"t0", 1, true});
  if (absl::IsPermissionDenied(device.status()) || absl::IsUnavailable(device.status())) {
    return kSkip;
  }
  if (!device.ok() || !BringUp("t0", "10.77.0.1")) return 1;
  TunPort tun(device->queues[0].get());
  auto sockets = OpenUdpSockets({});
  if (!sockets.ok()) return 2;
  UdpPort udp(sockets->v4.get());
  std::vector<uint8_t> data(10 * 1000 + 500);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 13 + i / 256);
  const Endpoint to{*IpAddress::Parse("10.77.0.2"), sockets->port, 0};
  if (udp.Send(to, nullptr, packet::OuterFields{}, data.data(), data.size(), 1000).sent != 11)
    return 3;
  std::vector<std::vector<uint8_t>> packets;
  std::vector<uint8_t> buffer(TunPort::kHeadroom + TunPort::kMaxRead);
  for (int i = 0; i < 50 && packets.size() < 11; ++i) {
    packet::VnetHeader header;
    uint8_t* p = buffer.data() + TunPort::kHeadroom;
    const int n = tun.Read(&header, p, TunPort::kMaxRead);
    if (n < 0) return 4;
    if (n == 0) {
      pollfd wait{tun.fd(), POLLIN, 0};
      poll(&wait, 1, 50);
      continue;
    }
    packet::Segmenter cutter;
    if (!cutter.Start(header, p, static_cast<size_t>(n))) return 5;
    if (cutter.view().protocol != IPPROTO_UDP || !cutter.view().is_v4()) continue;
    if (device->features.uso && cutter.remaining() != 11) return 6;
    for (packet::Segment s; cutter.Next(&s);) packets.emplace_back(s.data, s.data + s.size);
  }
  packet::Coalescer joiner({.tso = true, .uso = device->features.uso, .max_packets = 64});
  for (auto& p : packets) {
    std::swap_ranges(p.begin() + 12, p.begin() + 16, p.begin() + 16);  // checksums stay right
    packet::IpView view;
    if (!packet::ParseIp(p.data(), p.size(), &view) || !packet::L4ChecksumOk(view)) return 7;
    if (!joiner.Add(p.data(), view)) return 8;
  }
  const auto writes = joiner.Finish();
  if (device->features.uso && writes.size() != 1) return 9;
  if (tun.Write(writes).written != 11) return 10;
  std::vector<uint8_t> got;
  for (const Datagram& d : udp.ReceiveBatch()) got.insert(got.end(), d.data, d.data + d.size);
  return got == data ? 0 : 11;
}

TEST(TunPort, SuperpacketsGoThroughTheKernelBothWays) { InNamespace(Echo); }

}  // namespace
}  // namespace cipe::ports
