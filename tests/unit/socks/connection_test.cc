// The driver against servers on loopback that behave, close, stay silent, or are not there.
#include "socks/connection.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace cipe::socks {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr ConnectionTimes kFast = {milliseconds(400), milliseconds(30), milliseconds(200)};

// Accepts one connection after the other and does with each what `serve` says.
class Server {
 public:
  explicit Server(std::function<void(int fd, int number)> serve)
      : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, serve] {
      for (int number = 1;; ++number) {
        const UniqueFd fd(accept(listener_.get(), nullptr, nullptr));
        if (!fd.valid()) return;
        ++accepted;
        timeval limit{3, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        serve(fd.get(), number);
      }
    });
  }
  ~Server() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  Endpoint endpoint() const { return *Endpoint::Parse("127.0.0.1:" + std::to_string(port_)); }
  std::atomic<int> accepted{0};

 private:
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::thread thread_;
};

void Say(int fd, std::vector<uint8_t> octets) {
  EXPECT_EQ(send(fd, octets.data(), octets.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(octets.size()));
}

bool Hear(int fd, size_t n) {
  std::vector<uint8_t> octets(n);
  return recv(fd, octets.data(), n, MSG_WAITALL) == static_cast<ssize_t>(n);
}

void Associate(int fd) {
  if (!Hear(fd, 3)) return;
  Say(fd, {5, 0});
  if (!Hear(fd, 10)) return;
  Say(fd, {5, 0, 0, 1, 0, 0, 0, 0, 0x1a, 0x85});
}

class SocksConnectionTest : public testing::Test {
 protected:
  SocksConnectionTest() : loop_(*EventLoop::Create(clock_)) {}
  std::unique_ptr<Connection> Make(const Endpoint& server, Credentials credentials = {}) {
    return std::make_unique<Connection>(
        *loop_, "proxy:1080",
        [this, server](Connection::Found found) { loop_->Post([=] { found(server); }); },
        std::move(credentials),
        [this](const Endpoint& relay, const std::string& text) {
          relays_.push_back(relay.is_set() ? relay.ToString() : "");
          texts_.push_back(text);
        },
        kFast);
  }
  bool RunUntil(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!done() && std::chrono::steady_clock::now() < end) {
      EXPECT_TRUE(loop_->RunOnce(milliseconds(20)).ok());
    }
    return done();
  }

  SystemClock clock_;
  std::unique_ptr<EventLoop> loop_;
  std::vector<std::string> relays_, texts_;
};

TEST_F(SocksConnectionTest, AssociatesAndTakesTheServersAddress) {
  Server server([](int fd, int) {
    Associate(fd);
    Hear(fd, 1);  // until the client goes
  });
  auto connection = Make(server.endpoint());
  EXPECT_TRUE(relays_.empty());
  ASSERT_TRUE(RunUntil([&] { return !relays_.empty(); }));
  EXPECT_EQ(relays_[0], "127.0.0.1:6789");
  EXPECT_THAT(texts_[0], HasSubstr("connected to 127.0.0.1:"));
  connection.reset();
}

TEST_F(SocksConnectionTest, ComesBackWhenTheServerCloses) {
  Server server([](int fd, int number) {
    Associate(fd);
    if (number > 1) Hear(fd, 1);
    // Closing in the same instant would be no association at all.
    usleep(200'000);
  });
  auto connection = Make(server.endpoint());
  ASSERT_TRUE(RunUntil([&] { return relays_.size() == 3; }));
  EXPECT_EQ(relays_, (std::vector<std::string>{"127.0.0.1:6789", "", "127.0.0.1:6789"}));
  EXPECT_THAT(texts_[1], HasSubstr("SOCKS server proxy:1080: the server closed the connection"));
  EXPECT_EQ(server.accepted, 2);
  connection.reset();
}

TEST_F(SocksConnectionTest, RelaysThatCannotBeAreRefused) {
  const std::vector<std::vector<uint8_t>> relays = {
      {224, 0, 0, 9}, {255, 255, 255, 255}, {0, 0, 0, 5}, {127, 0, 0, 9}};
  Server server([&](int fd, int number) {
    if (!Hear(fd, 3)) return;
    Say(fd, {5, 0});
    if (!Hear(fd, 10)) return;
    std::vector<uint8_t> answer = {5, 0, 0, 1};
    const auto& relay = relays[static_cast<size_t>(number - 1) % relays.size()];
    answer.insert(answer.end(), relay.begin(), relay.end());
    answer.insert(answer.end(), {0x1a, 0x85});
    Say(fd, answer);
    Hear(fd, 1);
  });
  auto connection = Make(server.endpoint());
  ASSERT_TRUE(RunUntil([&] { return relays_.size() >= relays.size(); }));
  for (size_t i = 0; i < relays.size(); ++i) {
    EXPECT_EQ(relays_[i], "");
    EXPECT_THAT(texts_[i], HasSubstr("its relay "));
  }
  connection.reset();
}

TEST_F(SocksConnectionTest, AServerThatGoesOnTalkingIsLeft) {
  Server server([](int fd, int) {
    Associate(fd);
    const std::vector<uint8_t> noise(1000, 7);
    for (int i = 0; i < 1000; ++i) {
      if (send(fd, noise.data(), noise.size(), MSG_NOSIGNAL) < 0) return;
    }
  });
  auto connection = Make(server.endpoint());
  ASSERT_TRUE(RunUntil([&] { return texts_.size() >= 2; }));
  EXPECT_THAT(texts_[1], HasSubstr("goes on talking"));
  connection.reset();
}

// Associates and closes, again and again: no reason to be in a hurry.
TEST_F(SocksConnectionTest, ShortAssociationsPauseLongerEachTime) {
  Server server([](int fd, int) {
    Associate(fd);
    usleep(20'000);
  });
  auto connection = Make(server.endpoint());
  ASSERT_TRUE(RunUntil([&] { return texts_.size() >= 8; }));
  EXPECT_THAT(texts_[1], HasSubstr("again in 30 ms"));
  EXPECT_THAT(texts_[3], HasSubstr("again in 60 ms"));
  EXPECT_THAT(texts_[5], HasSubstr("again in 120 ms"));
  EXPECT_THAT(texts_[7], HasSubstr("again in 200 ms"));
  connection.reset();
}

TEST_F(SocksConnectionTest, SilenceAndRefusalsPauseLongerEachTime) {
  Server server([](int fd, int number) {
    if (number == 1) {
      Hear(fd, 100);  // silent until the client gives up
    } else {
      Hear(fd, 3);
      Say(fd, {5, 0xff});
    }
  });
  auto connection = Make(server.endpoint());
  ASSERT_TRUE(RunUntil([&] { return texts_.size() == 4; }));
  EXPECT_THAT(texts_[0], HasSubstr("no answer within 400 ms; again in 30 ms"));
  EXPECT_THAT(texts_[1], HasSubstr("give socks-user and socks-password; again in 60 ms"));
  EXPECT_THAT(texts_[2], HasSubstr("again in 120 ms"));
  EXPECT_THAT(texts_[3], HasSubstr("again in 200 ms"));
  for (const std::string& relay : relays_) EXPECT_EQ(relay, "");
  connection.reset();
}

TEST_F(SocksConnectionTest, NobodyThere) {
  Endpoint nowhere;
  {
    nowhere = Server([](int, int) {}).endpoint();
  }
  auto connection = Make(nowhere);
  ASSERT_TRUE(RunUntil([&] { return texts_.size() == 2; }));
  EXPECT_THAT(texts_[0], HasSubstr("refused"));
}

TEST_F(SocksConnectionTest, MayGoWhileItsQuestionIsOut) {
  Connection::Found late;
  {
    Connection connection(
        *loop_, "proxy", [&](Connection::Found found) { late = std::move(found); }, {},
        [this](const Endpoint&, const std::string& text) { texts_.push_back(text); }, kFast);
    ASSERT_TRUE(RunUntil([&] { return static_cast<bool>(late); }));
  }
  late(Endpoint());
  EXPECT_TRUE(texts_.empty());
}

}  // namespace
}  // namespace cipe::socks
