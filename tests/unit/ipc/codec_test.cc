#include "ipc/codec.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <random>

#include "ipc/memfd.h"
#include "tests/unit/ipc/samples.h"

namespace cipe::ipc {
namespace {

std::vector<UniqueFd> Duplicates(const Encoded& encoded) {
  std::vector<UniqueFd> fds;
  for (const int fd : encoded.fds) fds.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return fds;
}

absl::Span<const uint8_t> Octets(const std::string& s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

std::string ReadMemfd(int fd) {
  std::string all(1 << 16, '\0');
  all.resize(static_cast<size_t>(pread(fd, all.data(), all.size(), 0)));
  return all;
}

// Encoding what was decoded gives the same octets, so every field came through. TunnelAdd's body is
// read before decoding wipes it.
TEST(Codec, RoundTripOfEveryMessage) {
  const int before = OpenFds();
  {
    std::vector<Message> all = SampleMessages();
    ASSERT_EQ(all.size(), std::variant_size_v<Message>);
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].index(), i);
      auto first = EncodeMessage(all[i]);
      ASSERT_TRUE(first.ok()) << first.status();
      const std::string body = first->body.valid() ? ReadMemfd(first->body.get()) : "";
      auto decoded = DecodeMessage(Octets(first->octets), Duplicates(*first));
      ASSERT_TRUE(decoded.ok()) << MessageName(all[i]) << ": " << decoded.status();
      auto second = EncodeMessage(*decoded);
      ASSERT_TRUE(second.ok()) << second.status();
      EXPECT_EQ(first->octets, second->octets) << MessageName(all[i]);
      EXPECT_EQ(first->fds.size(), second->fds.size()) << MessageName(all[i]);
      if (second->body.valid()) {
        EXPECT_EQ(body, ReadMemfd(second->body.get()));
      }
    }
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST(Codec, TunnelAddKeepsItsFields) {
  Message message = SampleTunnelAdd();
  auto encoded = EncodeMessage(message);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  auto decoded = DecodeMessage(Octets(encoded->octets), Duplicates(*encoded));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& m = std::get<TunnelAdd>(*decoded);
  EXPECT_EQ(m.config.name, "site-a");
  EXPECT_EQ(m.config.suite, Suite::kChaChaPolyBlake2s);
  EXPECT_EQ(m.config.datapath, config::Datapath::kAfxdp);
  ASSERT_EQ(m.config.peers.size(), 2u);
  EXPECT_TRUE(*m.config.private_key == Secret<32>::FromSpan(Pattern(0xa1)));
  EXPECT_TRUE(*m.config.peers[0].preshared_key == Secret<32>::FromSpan(Pattern(0xb2)));
  EXPECT_EQ(m.config.peers[0].endpoints.front().host, "vpn.example.org");
  EXPECT_TRUE(m.config.peers[1].endpoints.empty());
  EXPECT_EQ(m.config.peers[1].shared_key->size(), 16u);
  EXPECT_EQ(m.peers[0].endpoint, SampleEndpoint());
  EXPECT_EQ(m.peers[0].floor.received, SampleFloor(1).received);
  EXPECT_TRUE(m.udp4.valid());
  EXPECT_FALSE(m.udp6.valid());
  EXPECT_EQ(m.datapath.rung, 2);
  EXPECT_TRUE(m.datapath.degraded);
  EXPECT_TRUE(m.datapath.pending);
  EXPECT_EQ(m.datapath.cause, "no_zero_copy");
  EXPECT_EQ(m.datapath.trouble, "carrier eth1 has no link");
  EXPECT_TRUE(m.datapath.afxdp_tx);
  ASSERT_TRUE(m.config.classic.has_value());
  EXPECT_TRUE(*m.config.classic == SampleClassic());
}

TEST(Codec, SocksPasswordStaysBehind) {
  TunnelAdd add = SampleTunnelAdd();
  const std::string password = "only-the-broker-needs-this";
  add.config.classic->socks_password =
      SecretBytes::FromSpan({reinterpret_cast<const uint8_t*>(password.data()), password.size()});
  Message message = std::move(add);
  auto encoded = EncodeMessage(message);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  EXPECT_EQ(encoded->octets.find(password), std::string::npos);
  EXPECT_EQ(ReadMemfd(encoded->body.get()).find(password), std::string::npos);
}

TEST(Codec, SecretsAreNotInTheDatagramAndAreWipedFromTheMemfd) {
  Message message = SampleTunnelAdd();
  auto encoded = EncodeMessage(message);
  ASSERT_TRUE(encoded.ok()) << encoded.status();
  for (const uint8_t start : {0xa1, 0xb2, 0xc3, 0xd4}) {
    const auto octets = Pattern(start);
    const std::string secret(octets.begin(), octets.begin() + 16);
    EXPECT_EQ(encoded->octets.find(secret), std::string::npos);
    EXPECT_NE(ReadMemfd(encoded->body.get()).find(secret), std::string::npos);
  }
  ASSERT_TRUE(DecodeMessage(Octets(encoded->octets), Duplicates(*encoded)).ok());
  const std::string after = ReadMemfd(encoded->body.get());
  EXPECT_EQ(after, std::string(after.size(), '\0'));
}

TEST(Codec, EveryTruncationAndAnyTailIsRejected) {
  const int before = OpenFds();
  {
    std::vector<Message> all = SampleMessages();
    for (Message& message : all) {
      auto encoded = EncodeMessage(message);
      ASSERT_TRUE(encoded.ok());
      for (size_t n = 0; n < encoded->octets.size(); ++n) {
        EXPECT_EQ(DecodeMessage(Octets(encoded->octets.substr(0, n)), Duplicates(*encoded))
                      .status()
                      .code(),
                  absl::StatusCode::kInvalidArgument)
            << MessageName(message) << " cut to " << n;
      }
      EXPECT_FALSE(DecodeMessage(Octets(encoded->octets + '\0'), Duplicates(*encoded)).ok());
    }
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST(Codec, WrongNumberOfDescriptorsIsRejected) {
  const int before = OpenFds();
  {
    std::vector<Message> all = SampleMessages();
    for (Message& message : all) {
      auto encoded = EncodeMessage(message);
      ASSERT_TRUE(encoded.ok());
      auto more = Duplicates(*encoded);
      more.push_back(AnyFd());
      EXPECT_FALSE(DecodeMessage(Octets(encoded->octets), std::move(more)).ok());
      auto fewer = Duplicates(*encoded);
      if (fewer.empty()) continue;
      fewer.pop_back();
      EXPECT_FALSE(DecodeMessage(Octets(encoded->octets), std::move(fewer)).ok());
    }
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST(Codec, BodyInAnythingButASealedMemfdIsRejected) {
  Message message = SampleTunnelAdd();
  auto encoded = EncodeMessage(message);
  ASSERT_TRUE(encoded.ok());
  auto fds = Duplicates(*encoded);
  fds[0] = AnyFd();
  EXPECT_FALSE(DecodeMessage(Octets(encoded->octets), std::move(fds)).ok());
  fds = Duplicates(*encoded);
  fds[0] = UniqueFd(memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const std::string body = ReadMemfd(encoded->body.get());
  ASSERT_EQ(write(fds[0].get(), body.data(), body.size()), static_cast<ssize_t>(body.size()));
  EXPECT_FALSE(DecodeMessage(Octets(encoded->octets), std::move(fds)).ok());
}

TEST(Codec, TruncatedBodyIsRejectedAtEveryLength) {
  Message message = SampleTunnelAdd();
  auto encoded = EncodeMessage(message);
  ASSERT_TRUE(encoded.ok());
  const std::string body = ReadMemfd(encoded->body.get());
  for (size_t n = 0; n < body.size(); ++n) {
    TunnelAdd out;
    EXPECT_FALSE(DecodeTunnelBody(Octets(body.substr(0, n)), &out).ok()) << n;
  }
  TunnelAdd out;
  EXPECT_TRUE(DecodeTunnelBody(Octets(body), &out).ok());
}

TEST(Codec, TruncatedBodyOfAChangeIsRejectedAtEveryLength) {
  Message message = SampleTunnelChange();
  auto encoded = EncodeMessage(message);
  ASSERT_TRUE(encoded.ok());
  const std::string body = ReadMemfd(encoded->body.get());
  for (size_t n = 0; n < body.size(); ++n) {
    TunnelChange out;
    EXPECT_FALSE(DecodeChangeBody(Octets(body.substr(0, n)), &out).ok()) << n;
  }
  TunnelChange out;
  ASSERT_TRUE(DecodeChangeBody(Octets(body), &out).ok());
  EXPECT_EQ(out.all, (std::vector<PeerId>{12, 13, 11}));
  EXPECT_EQ(out.peers.size(), 2u);
  EXPECT_TRUE(*out.config.private_key == Secret<32>::FromSpan(Pattern(0xa1)));
}

// Random octets and flipped bits: an answer, never a crash (run under ASan too).
TEST(Codec, MutationsGiveAMessageOrAnError) {
  std::mt19937_64 random(1);
  std::vector<Message> all = SampleMessages();
  int accepted = 0;
  for (Message& message : all) {
    auto encoded = EncodeMessage(message);
    ASSERT_TRUE(encoded.ok());
    for (int i = 0; i < 500; ++i) {
      std::string octets = encoded->octets;
      for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
        octets[random() % octets.size()] ^= static_cast<char>(1 << (random() % 8));
      }
      auto decoded = DecodeMessage(Octets(octets), {});
      if (decoded.ok()) ++accepted;
      if (!decoded.ok()) {
        EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
      }
    }
  }
  EXPECT_GT(accepted, 0);  // a flipped number is still a number
}

TEST(Codec, HugeLengthsAllocateNothing) {
  std::string octets(1, '\x09');  // UpRequest
  octets += std::string(8, '\0') + "\xff\xff\xff\xff";
  EXPECT_FALSE(DecodeMessage(Octets(octets), {}).ok());
}

TEST(Codec, TooManyDescriptorsAreRefusedBySender) {
  CarrierAdd carrier;
  for (int i = 0; i < 130; ++i) carrier.queues.push_back({0, 0, 0, AnyFd(), AnyFd()});
  Message message = std::move(carrier);
  EXPECT_EQ(EncodeMessage(message).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Memfd, TakenOnceAndWiped) {
  const auto octets = Pattern(1);
  auto fd = MemfdFromOctets("test", octets);
  ASSERT_TRUE(fd.ok());
  std::array<uint8_t, 32> got{};
  ASSERT_TRUE(TakeFromMemfd(fd->get(), absl::MakeSpan(got)).ok());
  EXPECT_EQ(got, octets);
  ASSERT_TRUE(TakeFromMemfd(fd->get(), absl::MakeSpan(got)).ok());
  EXPECT_EQ(got, (std::array<uint8_t, 32>{}));
  std::array<uint8_t, 31> shorter{};
  EXPECT_FALSE(TakeFromMemfd(fd->get(), absl::MakeSpan(shorter)).ok());
}

}  // namespace
}  // namespace cipe::ipc
