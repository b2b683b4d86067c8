// The SOCKS5 exchange octet for octet, cut at every place, and what servers may do wrong.
#include "socks/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/rng.h"

namespace cipe::socks {
namespace {

using testing::HasSubstr;
using Octets = std::vector<uint8_t>;

Credentials User(const std::string& user, const std::string& password) {
  Credentials c;
  c.user = user;
  c.password =
      SecretBytes::FromSpan({reinterpret_cast<const uint8_t*>(password.data()), password.size()});
  return c;
}

Octets Output(Client& client) {
  const SecretBytes out = client.TakeOutput();
  return {out.UnsafeBytes().begin(), out.UnsafeBytes().end()};
}

absl::Status FeedInPieces(Client& client, const Octets& octets, size_t piece) {
  for (size_t i = 0; i < octets.size(); i += piece) {
    const size_t n = std::min(piece, octets.size() - i);
    const absl::Status status = client.Receive({octets.data() + i, n});
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Up to the request: what is left is the server's reply.
void Greet(Client& client) {
  Output(client);
  ASSERT_TRUE(client.Receive(Octets{5, 0}).ok());
  Output(client);
}

TEST(SocksClient, WithoutAuthentication) {
  for (const size_t piece : {1, 2, 3, 100}) {
    const Credentials none;
    Client client(none);
    EXPECT_EQ(Output(client), (Octets{5, 1, 0}));
    ASSERT_TRUE(FeedInPieces(client, {5, 0}, piece).ok());
    EXPECT_EQ(Output(client), (Octets{5, 3, 0, 1, 0, 0, 0, 0, 0, 0}));
    EXPECT_FALSE(client.done());
    ASSERT_TRUE(FeedInPieces(client, {5, 0, 0, 1, 192, 0, 2, 7, 0x1a, 0x85}, piece).ok());
    ASSERT_TRUE(client.done());
    EXPECT_EQ(client.relay().ToString(), "192.0.2.7:6789");
    EXPECT_TRUE(Output(client).empty());
    EXPECT_TRUE(client.Receive(Octets{1, 2, 3}).ok());  // nothing more is understood, nor an error
  }
}

TEST(SocksClient, WithUserAndPassword) {
  const Credentials user = User("me", "pw!");
  Client client(user);
  EXPECT_EQ(Output(client), (Octets{5, 2, 0, 2}));
  ASSERT_TRUE(client.Receive(Octets{5, 2}).ok());
  EXPECT_EQ(Output(client), (Octets{1, 2, 'm', 'e', 3, 'p', 'w', '!'}));
  ASSERT_TRUE(client.Receive(Octets{1, 0}).ok());
  EXPECT_EQ(Output(client), (Octets{5, 3, 0, 1, 0, 0, 0, 0, 0, 0}));
  ASSERT_TRUE(client.Receive(Octets{5, 0, 0, 1, 0, 0, 0, 0, 0, 9}).ok());
  EXPECT_TRUE(client.done());
  EXPECT_TRUE(client.relay().address.is_unspecified());
}

TEST(SocksClient, ServerMayDoWithoutThePassword) {
  const Credentials user = User("me", "pw");
  Client client(user);
  Output(client);
  ASSERT_TRUE(client.Receive(Octets{5, 0}).ok());
  EXPECT_EQ(Output(client)[1], 3);
}

TEST(SocksClient, RepliesInOneSegment) {
  const Credentials none;
  Client client(none);
  Output(client);
  ASSERT_TRUE(client.Receive(Octets{5, 0, 5, 0, 0, 1, 1, 2, 3, 4, 0, 5}).ok());
  EXPECT_TRUE(client.done());
}

TEST(SocksClient, Ipv6Relay) {
  const Credentials none;
  Client client(none);
  Greet(client);
  Octets reply = {5, 0, 0, 4};
  reply.resize(20, 0);
  reply[19] = 1;
  reply.insert(reply.end(), {0, 80});
  ASSERT_TRUE(client.Receive(reply).ok());
  EXPECT_EQ(client.relay().ToString(), "[::1]:80");
}

TEST(SocksClient, Refusals) {
  const Credentials none, user = User("me", "pw");
  const struct {
    const Credentials* credentials;
    Octets answer;
    const char* text;
  } cases[] = {
      {&none, {5, 0xff}, "it wants authentication"},
      {&user, {5, 0xff}, "accepts neither"},
      {&none, {5, 2}, "method 2, which was not offered"},
      {&user, {5, 1}, "method 1, which was not offered"},
      {&none, {4, 90}, "no SOCKS5 server"},
      {&none, {'H'}, "no SOCKS5 server"},
      {&user, {5, 2, 1, 1}, "refuses user and password"},
      {&none, {5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0}, "not allowed by its ruleset"},
      {&none, {5, 0, 5, 7, 0, 1, 0}, "does not know the command"},
      {&none, {5, 0, 5, 99, 0, 1, 0}, "a code of its own"},
      {&none, {5, 0, 4, 0, 0, 1, 0}, "begins with 4"},
      {&none, {5, 0, 5, 0, 0, 9, 0}, "address type 9"},
      {&none, {5, 0, 5, 0, 0, 1, 1, 2, 3, 4, 0, 0}, "port 0"},
      {&none, {5, 0, 5, 0, 0, 3, 1, 'a', 0, 1}, "host name"},
  };
  for (const auto& c : cases) {
    Client client(*c.credentials);
    Output(client);
    const absl::Status status = FeedInPieces(client, c.answer, 1);
    EXPECT_FALSE(status.ok()) << c.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.text));
    EXPECT_FALSE(client.done());
    EXPECT_TRUE(client.Receive(Octets{5, 0}).ok());  // it is over, not confused
    EXPECT_FALSE(client.done());
  }
}

TEST(SocksClient, RandomAnswersNeverHurt) {
  std::mt19937 random(7);
  const Credentials user = User("me", "pw");
  for (int i = 0; i < 20000; ++i) {
    Client client(user);
    Output(client);
    for (int k = 0; k < 6; ++k) {
      Octets octets(random() % 40);
      for (uint8_t& o : octets)
        o = static_cast<uint8_t>(random() % 8 == 0 ? random() : random() % 6);
      if (!octets.empty() && k == 0) octets[0] = 5;
      if (!client.Receive(octets).ok()) break;
      Output(client);
    }
    if (client.done()) {
      EXPECT_NE(client.relay().port, 0);
    }
  }
}

TEST(SocksClient, EndlessHostNameIsBounded) {
  const Credentials none;
  Client client(none);
  Greet(client);
  Octets reply = {5, 0, 0, 3, 255};
  reply.resize(100'000, 'a');
  EXPECT_FALSE(client.Receive(reply).ok());
}

}  // namespace
}  // namespace cipe::socks
