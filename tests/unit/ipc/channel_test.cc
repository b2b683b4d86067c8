#include "ipc/channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "ipc/codec.h"
#include "tests/unit/ipc/samples.h"

namespace cipe::ipc {
namespace {

struct Ends {
  explicit Ends(std::pair<UniqueFd, UniqueFd> pair)
      : broker(std::move(pair.first)), engine(std::move(pair.second)) {}
  Channel broker;
  Channel engine;
};

TEST(Channel, CarriesEveryMessageWithItsDescriptorsAndLeaksNone) {
  const int before = OpenFds();
  {
    Ends ends(*Channel::Pair());
    std::vector<Message> all = SampleMessages();
    for (Message& message : all) {
      const size_t type = message.index();
      ASSERT_TRUE(ends.broker.Send(std::move(message)).ok());
      auto got = ends.engine.Receive();
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(got->index(), type);
    }
    EXPECT_EQ(ends.engine.Receive().status().code(), absl::StatusCode::kNotFound);
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST(Channel, DescriptorsNameTheSameFile) {
  Ends ends(*Channel::Pair());
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd reader(fds[0]);
  TunnelAdd add = SampleTunnelAdd();
  add.udp6 = UniqueFd(fds[1]);
  ASSERT_TRUE(ends.broker.Send(std::move(add)).ok());
  auto got = ends.engine.Receive();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(SameFile(std::get<TunnelAdd>(*got).udp6.get(), reader.get()));
  EXPECT_NE(fcntl(std::get<TunnelAdd>(*got).udp6.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Channel, TheOtherEndsDeathIsUnavailable) {
  Ends ends(*Channel::Pair());
  { const Channel gone = std::move(ends.engine); }
  EXPECT_EQ(ends.broker.Receive().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ends.broker.Send(Ready{}).code(), absl::StatusCode::kUnavailable);
}

TEST(Channel, GarbageIsInvalidAndItsDescriptorsAreClosed) {
  auto pair = *Channel::Pair();
  Channel broker(std::move(pair.first));
  const int before = OpenFds();
  char octets[] = "\xeenonsense";
  iovec iov{octets, sizeof octets};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  const UniqueFd lent = AnyFd();
  const int fd = lent.get();
  std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  ASSERT_GT(sendmsg(pair.second.get(), &header, 0), 0);
  EXPECT_EQ(broker.Receive().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenFds(), before + 1);  // `lent` alone
}

TEST(Channel, OversizedDatagramIsInvalid) {
  auto pair = *Channel::Pair();
  Channel broker(std::move(pair.first));
  const std::string big(kMaxDatagram + 1, 'x');
  ASSERT_EQ(send(pair.second.get(), big.data(), big.size(), 0), static_cast<ssize_t>(big.size()));
  EXPECT_EQ(broker.Receive().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Channel, AFullQueueIsABoundedWait) {
  Ends ends(*Channel::Pair());
  absl::Status status;
  int sent = 0;
  while ((status = ends.broker.Send(Ready{})).ok()) ++sent;
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_GT(sent, 10);
}

}  // namespace
}  // namespace cipe::ipc
