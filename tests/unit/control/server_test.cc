#include "control/server.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <optional>
#include <string>
#include <vector>

#include "control/show.h"
#include "gtest/gtest.h"

namespace cipe::control {
namespace {

using namespace std::chrono_literals;

constexpr char kShow[] = R"({"version":1,"verb":"show"})";
constexpr char kUp[] = R"({"version":1,"verb":"up","name":"site-a"})";

class Client {
 public:
  explicit Client(const sockaddr_un& address)
      : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  // False when the server has closed its end.
  bool Write(const std::string& octets) const {
    return send(fd_.get(), octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
           static_cast<ssize_t>(octets.size());
  }
  bool Ask(const std::string& request) const { return Write(request + '\0'); }
  // The next reply that has arrived, if any.
  std::optional<Reply> Read() {
    char buffer[65536];
    for (;;) {
      if (const size_t nul = input_.find('\0'); nul != std::string::npos) {
        const absl::StatusOr<Reply> reply = ParseReply(input_.substr(0, nul));
        input_.erase(0, nul + 1);
        EXPECT_TRUE(reply.ok()) << reply.status();
        return reply.ok() ? std::optional(*reply) : std::nullopt;
      }
      const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      closed_ = n == 0 || (n < 0 && errno != EAGAIN);
      if (n <= 0) return std::nullopt;
      input_.append(buffer, static_cast<size_t>(n));
    }
  }
  bool closed() {
    Read();
    return closed_;
  }
  // What has arrived, as it is.
  std::string Raw() {
    char buffer[65536];
    std::string all = std::exchange(input_, "");
    for (ssize_t n; (n = recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0;) {
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }
  void ShutdownWrite() const { shutdown(fd_.get(), SHUT_WR); }
  void Close() { fd_.reset(); }

 private:
  UniqueFd fd_;
  std::string input_;
  bool closed_ = false;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerTest()
      : clock_(FromNanos(1'000'000'000'000), WallTime{}), loop_(*EventLoop::Create(clock_)) {
    options_.owner = 1000;
    options_.credentials = [this](int) { return absl::StatusOr<ucred>(ucred{1, uid_, 0}); };
  }
  ~ServerTest() override {
    server_.reset();
    unlink(address_.sun_path);
    rmdir(directory_);
  }

  void Start() {
    ASSERT_NE(mkdtemp(directory_), nullptr);
    address_.sun_family = AF_UNIX;
    snprintf(address_.sun_path, sizeof address_.sun_path, "%s/ciped.sock", directory_);
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    ASSERT_EQ(listen(listener.get(), 128), 0);
    auto server = ControlServer::Create(
        *loop_, std::move(listener),
        [this](const Request& request, Responder responder) {
          seen_.push_back(request);
          if (request.verb == Verb::kMonitor) return responder.Subscribe(request.name);
          if (keep_) return kept_.push_back(std::move(responder));
          responder.Ok(Json{{"n", seen_.size()}, {"pad", std::string(pad_, 'x')}});
        },
        options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  Client Connect() {
    Client client(address_);
    Turn();
    return client;
  }
  // Everything on a unix socket is there at once, so a few turns settle any exchange.
  void Turn() {
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(loop_->RunOnce(0s).ok());
  }

  char directory_[32] = "/tmp/cipe-control-XXXXXX";
  sockaddr_un address_{};
  ManualClock clock_;
  std::unique_ptr<EventLoop> loop_;
  ServerOptions options_;
  uid_t uid_ = 0;
  bool keep_ = false;
  size_t pad_ = 0;
  std::vector<Request> seen_;
  std::vector<Responder> kept_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ServerTest, AnswersARequestSentOctetByOctet) {
  Start();
  Client client = Connect();
  for (const char c : std::string(kUp)) {
    ASSERT_TRUE(client.Write(std::string(1, c)));
    Turn();
    ASSERT_FALSE(client.Read().has_value());
  }
  ASSERT_TRUE(client.Write(std::string(1, '\0')));
  Turn();
  const auto reply = client.Read();
  ASSERT_TRUE(reply.has_value());
  EXPECT_TRUE(reply->ok);
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].verb, Verb::kUp);
  EXPECT_EQ(seen_[0].name, "site-a");
}

TEST_F(ServerTest, TwoRequestsInOneWriteAreAnsweredInOrder) {
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Write(std::string(kUp) + '\0' + kShow + '\0'));
  Turn();
  EXPECT_EQ(client.Read()->result["n"], 1);
  EXPECT_EQ(client.Read()->result["n"], 2);
  EXPECT_FALSE(client.Read().has_value());
}

TEST_F(ServerTest, SecondRequestWaitsForTheFirstAnswer) {
  keep_ = true;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Write(std::string(kUp) + '\0' + kShow + '\0'));
  Turn();
  ASSERT_EQ(kept_.size(), 1u);
  kept_[0].Ok(Json("first"));
  Turn();
  EXPECT_EQ(client.Read()->result, "first");
  ASSERT_EQ(kept_.size(), 2u);
  kept_[1].Ok(Json("second"));
  Turn();
  EXPECT_EQ(client.Read()->result, "second");
}

TEST_F(ServerTest, MalformedRequestGetsAnErrorAndTheConnectionLives) {
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask("{not json"));
  Turn();
  EXPECT_EQ(client.Read()->error.code, kErrorBadRequest);
  ASSERT_TRUE(client.Ask(kShow));
  Turn();
  EXPECT_TRUE(client.Read()->ok);
}

TEST_F(ServerTest, TooLongRequestIsRefusedAndClosed) {
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Write(std::string(kMaxRequestSize, ' ')));
  Turn();
  const auto reply = client.Read();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->error.code, kErrorTooLarge);
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(seen_.empty());
  EXPECT_EQ(server_->clients(), 0);
}

TEST_F(ServerTest, StrangersMayReadButNotChange) {
  uid_ = 4711;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  EXPECT_EQ(client.Read()->error.code, kErrorPermissionDenied);
  ASSERT_TRUE(client.Ask(R"({"version":1,"verb":"down","name":"site-a"})"));
  Turn();
  EXPECT_EQ(client.Read()->error.code, kErrorPermissionDenied);
  EXPECT_TRUE(seen_.empty());
  ASSERT_TRUE(client.Ask(kShow));
  Turn();
  EXPECT_TRUE(client.Read()->ok);
}

TEST_F(ServerTest, OwnerMayChange) {
  uid_ = 1000;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  EXPECT_TRUE(client.Read()->ok);
}

TEST_F(ServerTest, WhoCannotBeIdentifiedMayNotChange) {
  options_.credentials = [](int) { return absl::InternalError("none"); };
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  EXPECT_EQ(client.Read()->error.code, kErrorPermissionDenied);
}

TEST_F(ServerTest, RealCredentialsAreOurOwn) {
  options_.credentials = nullptr;
  options_.owner = getuid();
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  EXPECT_TRUE(client.Read()->ok);
}

TEST_F(ServerTest, ClientGoneBeforeTheReply) {
  keep_ = true;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  ASSERT_EQ(kept_.size(), 1u);
  EXPECT_TRUE(kept_[0].wanted());
  client.Close();
  Turn();
  EXPECT_FALSE(kept_[0].wanted());
  EXPECT_EQ(server_->clients(), 0);
  kept_[0].Ok(Json("late"));
  Turn();
}

TEST_F(ServerTest, ClientThatShutDownItsSendingSideStillGetsItsReply) {
  keep_ = true;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  client.ShutdownWrite();
  Turn();
  ASSERT_EQ(kept_.size(), 1u);
  kept_[0].Ok(Json("done"));
  Turn();
  EXPECT_EQ(client.Read()->result, "done");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(server_->clients(), 0);
}

TEST_F(ServerTest, ForgottenResponderAnswersWithAnError) {
  keep_ = true;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  kept_.clear();
  Turn();
  EXPECT_EQ(client.Read()->error.code, kErrorInternal);
}

TEST_F(ServerTest, ResponderMayOutliveTheServer) {
  keep_ = true;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  Turn();
  server_.reset();
  EXPECT_FALSE(kept_[0].wanted());
  kept_[0].Ok(Json("late"));
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerTest, LastPlacesAreKeptForThoseWhoMayChange) {
  options_.max_clients = 4;
  options_.reserved_clients = 2;
  Start();
  uid_ = 4711;
  std::vector<Client> strangers;
  for (int i = 0; i < 3; ++i) strangers.push_back(Connect());
  EXPECT_EQ(server_->clients(), 2);
  EXPECT_EQ(strangers[2].Read()->error.code, kErrorTooManyClients);
  EXPECT_TRUE(strangers[2].closed());
  uid_ = 0;
  Client root = Connect();
  ASSERT_TRUE(root.Ask(kUp));
  Turn();
  EXPECT_TRUE(root.Read()->ok);
}

TEST_F(ServerTest, MonitorsLeavePlacesForRequestsWhoeverTheyAre) {
  Start();  // with the bounds as they are
  for (const uid_t uid : {uid_t{0}, uid_t{4711}}) {
    uid_ = uid;
    std::vector<Client> monitors;
    int refused = 0;
    for (int i = 0; i < 64; ++i) {
      monitors.push_back(Connect());
      monitors.back().Ask(R"({"version":1,"verb":"monitor"})");
      Turn();
      const std::optional<Reply> reply = monitors.back().Read();
      ASSERT_TRUE(reply.has_value());
      if (reply->ok) continue;
      EXPECT_EQ(reply->error.code, kErrorTooManyClients);
      ++refused;
      monitors.pop_back();
      Turn();
    }
    EXPECT_EQ(refused, 32);
    for (const uid_t asking : {uid_t{0}, uid_t{4712}}) {
      uid_ = asking;
      Client other = Connect();
      ASSERT_TRUE(other.Ask(kShow));
      Turn();
      EXPECT_TRUE(other.Read()->ok) << "uid " << asking << " beside monitors of " << uid;
    }
    monitors.clear();
    Turn();
    ASSERT_EQ(server_->clients(), 0);
  }
}

TEST_F(ServerTest, IdleClientIsClosed) {
  Start();
  Client client = Connect();
  clock_.Advance(20s);
  ASSERT_TRUE(client.Write("{"));  // a trickle is no progress
  Turn();
  clock_.Advance(9s);
  Turn();
  EXPECT_FALSE(client.closed());
  clock_.Advance(1s);
  Turn();
  EXPECT_TRUE(client.closed());
}

TEST_F(ServerTest, WaitingForAnAnswerIsNotIdle) {
  keep_ = true;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kUp));
  for (int i = 0; i < 5; ++i) {
    Turn();
    clock_.Advance(25s);
  }
  Turn();
  kept_[0].Ok(Json("done"));
  Turn();
  EXPECT_EQ(client.Read()->result, "done");
}

TEST_F(ServerTest, SlowReaderBlocksNobodyAndGetsItAll) {
  pad_ = 4 << 20;
  Start();
  Client slow = Connect();
  ASSERT_TRUE(slow.Ask(kShow));
  Turn();
  pad_ = 0;
  Client other = Connect();
  ASSERT_TRUE(other.Ask(kShow));
  Turn();
  EXPECT_TRUE(other.Read()->ok);
  std::optional<Reply> reply;
  for (int i = 0; i < 1000 && !reply.has_value(); ++i) {
    reply = slow.Read();
    Turn();
  }
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->result["pad"].get<std::string>().size(), size_t{4} << 20);
}

TEST_F(ServerTest, ReaderThatNeverReadsIsClosed) {
  pad_ = 4 << 20;
  Start();
  Client slow = Connect();
  ASSERT_TRUE(slow.Ask(kShow));
  Turn();
  EXPECT_EQ(server_->clients(), 1);
  clock_.Advance(30s);
  Turn();
  EXPECT_EQ(server_->clients(), 0);
}

TEST_F(ServerTest, SubscribersGetWhatIsPublishedForThem) {
  uid_ = 4242;  // nobody special: reading is enough
  Start();
  Client all = Connect(), one = Connect(), none = Connect();
  EXPECT_FALSE(server_->watched());
  ASSERT_TRUE(all.Ask(R"({"version":1,"verb":"monitor"})"));
  ASSERT_TRUE(one.Ask(R"({"version":1,"verb":"monitor","name":"site-a"})"));
  Turn();
  EXPECT_TRUE(server_->watched());
  EXPECT_TRUE(all.Read()->ok);
  EXPECT_EQ(one.Read()->result, Json::object());
  server_->Publish("site-a", {{"n", 1}});
  server_->Publish("site-b", {{"n", 2}});
  clock_.Advance(100s);  // longer than any client may be idle
  Turn();
  EXPECT_EQ(all.Raw(), std::string("{\"n\":1}\0{\"n\":2}\0", 16));
  EXPECT_EQ(one.Raw(), std::string("{\"n\":1}\0", 8));
  EXPECT_EQ(none.Raw(), "");
  EXPECT_EQ(server_->clients(), 2) << "only who subscribed may be idle";
  all.Close();
  one.Close();
  Turn();
  EXPECT_FALSE(server_->watched());
}

TEST_F(ServerTest, SlowSubscriberIsDisconnected) {
  Start();
  Client slow = Connect(), quick = Connect();
  for (Client* client : {&slow, &quick}) {
    ASSERT_TRUE(client->Ask(R"({"version":1,"verb":"monitor"})"));
    Turn();
    ASSERT_TRUE(client->Read()->ok);
  }
  const Json event = {{"text", std::string(10'000, 'x')}};
  size_t got = 0;
  for (int i = 0; i < 500; ++i) {
    server_->Publish("site-a", event);
    Turn();
    got += quick.Raw().size();
  }
  EXPECT_EQ(server_->clients(), 1);
  EXPECT_EQ(got, 500 * (Dump(event).size() + 1));
}

TEST_F(ServerTest, ReplyAboveTheLimitBecomesAnError) {
  options_.max_reply = 1000;
  pad_ = 2000;
  Start();
  Client client = Connect();
  ASSERT_TRUE(client.Ask(kShow));
  Turn();
  EXPECT_EQ(client.Read()->error.code, kErrorTooLarge);
}

}  // namespace
}  // namespace cipe::control
