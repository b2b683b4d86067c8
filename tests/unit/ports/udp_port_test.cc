#include "ports/udp_port.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "absl/strings/str_cat.h"
#include "ports/udp_socket.h"

namespace cipe::ports {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes Pattern(size_t size) {
  Bytes b(size);
  for (size_t i = 0; i < size; ++i) b[i] = static_cast<uint8_t>(i * 31 + i / 251);
  return b;
}

UdpSockets Open(const char* address) {
  UdpSocketOptions options;
  options.address = *IpAddress::Parse(address);
  absl::StatusOr<UdpSockets> s = OpenUdpSockets(options);
  if (!s.ok()) return {};
  return *std::move(s);
}

struct Pair {
  explicit Pair(const char* address, bool gso = true) : a(Open(address)), b(Open(address)) {
    ip = *IpAddress::Parse(address);
    if (b.port == 0) return;
    UdpPort::Options options;
    options.gso = gso;
    sender = std::make_unique<UdpPort>(ip.is_v4() ? a.v4.get() : a.v6.get(), options);
    receiver = std::make_unique<UdpPort>(ip.is_v4() ? b.v4.get() : b.v6.get());
  }
  std::vector<Datagram> Take(size_t octets) {
    std::vector<Datagram> all;
    bytes.clear();
    for (int i = 0; i < 100 && bytes.size() < octets; ++i) {
      pollfd p{receiver->fd(), POLLIN, 0};
      poll(&p, 1, 20);
      for (const Datagram& d : receiver->ReceiveBatch()) {
        bytes.insert(bytes.end(), d.data, d.data + d.size);
        sizes.push_back(d.size);
        origin = *d.origin;
        all.push_back(d);
      }
    }
    return all;
  }
  UdpSockets a, b;
  IpAddress ip;
  std::unique_ptr<UdpPort> sender, receiver;
  Bytes bytes;
  std::vector<uint32_t> sizes;
  DatagramOrigin origin;
};

class UdpPortTest : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(UdpPortTest, RunsArriveAsTheyWereSent) {
  const auto [address, gso] = GetParam();
  Pair pair(address, gso);
  if (pair.sender == nullptr) GTEST_SKIP() << "needs kernel: " << address << " is not there";
  const Endpoint to{pair.ip, pair.b.port, 0};
  for (const auto& [total, size] : std::vector<std::pair<size_t, size_t>>{
           {1, 1}, {1000, 1000}, {10000, 1200}, {64 * 100, 100}, {1232 * 50 + 7, 1232}}) {
    const Bytes data = Pattern(total);
    pair.sizes.clear();
    const SendResult r = pair.sender->Send(to, &pair.ip, {.tos = 2}, data.data(), total, size);
    ASSERT_EQ(r.status, SendStatus::kSent) << r.error;
    const size_t count = (total + size - 1) / size;
    EXPECT_EQ(r.sent, count);
    pair.Take(total);
    EXPECT_EQ(pair.bytes, data);
    ASSERT_EQ(pair.sizes.size(), count);
    for (size_t i = 0; i + 1 < count; ++i) EXPECT_EQ(pair.sizes[i], size);
    EXPECT_EQ(pair.origin.source, (Endpoint{pair.ip, pair.a.port, 0}));
    EXPECT_EQ(pair.origin.local, pair.ip);
    EXPECT_EQ(pair.origin.ecn, 2);
    EXPECT_NE(pair.origin.ifindex, 0u);
  }
  EXPECT_EQ(pair.sender->gso(), gso);
}

TEST_P(UdpPortTest, ClosedPortsAreReportedAndDoNotBlockSending) {
  const auto [address, gso] = GetParam();
  Pair pair(address, gso);
  if (pair.sender == nullptr) GTEST_SKIP() << "needs kernel: " << address << " is not there";
  const Endpoint gone{pair.ip, Open(address).port, 0};
  const Bytes data = Pattern(100);
  ASSERT_EQ(pair.sender->Send(gone, nullptr, {}, data.data(), 100, 100).status, SendStatus::kSent);
  pollfd p{pair.sender->fd(), 0, 0};
  ASSERT_EQ(poll(&p, 1, 2000), 1);
  EXPECT_NE(p.revents & POLLERR, 0);
  // The pending error must not swallow a datagram for somebody else.
  const Endpoint to{pair.ip, pair.b.port, 0};
  ASSERT_EQ(pair.sender->Send(to, nullptr, {}, data.data(), 100, 100).status, SendStatus::kSent);
  pair.Take(100);
  EXPECT_EQ(pair.bytes, data);
  std::vector<UdpError> errors;
  ASSERT_EQ(pair.sender->TakeErrors(&errors), 1u);
  EXPECT_EQ(errors[0].destination, gone);
  EXPECT_EQ(errors[0].error, ECONNREFUSED);
  EXPECT_FALSE(errors[0].local);
  EXPECT_EQ(pair.sender->TakeErrors(&errors), 0u);
}

INSTANTIATE_TEST_SUITE_P(Loopback, UdpPortTest,
                         testing::Combine(testing::Values("127.0.0.1", "::1"), testing::Bool()));

TEST(UdpPort, RefusesWhatDoesNotFit) {
  Pair pair("127.0.0.1");
  const Bytes data = Pattern(66000);
  const Endpoint to{pair.ip, pair.b.port, 0};
  EXPECT_EQ(pair.sender->Send(to, nullptr, {}, data.data(), 65 * 10, 10).error, EINVAL);
  EXPECT_EQ(pair.sender->Send(to, nullptr, {}, data.data(), 66000, 66000).status,
            SendStatus::kTooBig);
  EXPECT_EQ(UdpPort::MaxRun(1400, Family::kIpv4), 46u);
  EXPECT_EQ(UdpPort::MaxRun(10, Family::kIpv6), 64u);
  EXPECT_EQ(UdpPort::MaxRun(65487, Family::kIpv6), 1u);
}

TEST(UdpSocket, BroadcastAndOneselfAreNoOtherHost) {
  const RouteProbe probe = RouteProbe::Open();
  EXPECT_FALSE(probe.MayBeOtherHost(*Endpoint::Parse("127.255.255.255:6789"), 1));
  EXPECT_FALSE(probe.MayBeOtherHost(*Endpoint::Parse("255.255.255.255:6789"), 1));
  EXPECT_FALSE(probe.MayBeOtherHost(*Endpoint::Parse("127.0.0.1:6789"), 6789));
  // Another tunnel of this host, or somebody who cannot be reached just now.
  EXPECT_TRUE(probe.MayBeOtherHost(*Endpoint::Parse("127.0.0.1:6543"), 6789));
  EXPECT_TRUE(probe.MayBeOtherHost(*Endpoint::Parse("192.0.2.7:6789"), 6789));
  EXPECT_FALSE(probe.MayBeOtherHost(*Endpoint::Parse("127.0.0.1:6789"), 6789)) << "asked again";
  EXPECT_TRUE(RouteProbe().MayBeOtherHost(*Endpoint::Parse("127.0.0.1:6789"), 6789));
}

TEST(UdpSocket, BothFamiliesShareAPortAndSecondComersAreTold) {
  absl::StatusOr<UdpSockets> first = OpenUdpSockets({});
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_NE(first->port, 0);
  ASSERT_TRUE(first->v4.valid());
  UdpSocketOptions again;
  again.port = first->port;
  const absl::Status status = OpenUdpSockets(again).status();
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_NE(status.message().find(absl::StrCat("UDP port ", first->port, " is in use")),
            std::string::npos)
      << status;
}

}  // namespace
}  // namespace cipe::ports
