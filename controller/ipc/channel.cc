#include "ipc/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ipc/codec.h"

namespace cipe::ipc {
namespace {

// Room for what a broker sends in one go when it brings hundreds of tunnels back; capped by
// net.core.wmem_max without further ado.
constexpr int kSendBuffer = 1 << 20;

// Longer than this no sane engine leaves its channel unread (its control thread never blocks).
constexpr auto kSendPatience = std::chrono::seconds(3);

absl::Status SendFailed(int error) {
  if (error == EPIPE || error == ECONNRESET || error == ENOTCONN) {
    return absl::UnavailableError("the other process has gone");
  }
  return absl::InternalError(absl::StrCat("sendmsg between broker and engine: ", strerror(error)));
}

// Collects the descriptors of a received datagram; every one is owned from here on.
std::vector<UniqueFd> TakeFds(msghdr* header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(header); c != nullptr; c = CMSG_NXTHDR(header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

// Waits until `fd` takes more; false when `deadline` has passed.
bool WaitWritable(int fd, std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return false;
  pollfd p{fd, POLLOUT, 0};
  poll(&p, 1, static_cast<int>(left.count()) + 1);
  return true;
}

}  // namespace

absl::StatusOr<std::pair<UniqueFd, UniqueFd>> Channel::Pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("socketpair: ", strerror(errno)));
  }
  std::pair<UniqueFd, UniqueFd> pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
  for (const int fd : fds) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  return pair;
}

absl::Status Channel::Send(Message message) {
  CIPE_ASSIGN_OR_RETURN(Encoded encoded, EncodeMessage(message));
  iovec iov{encoded.octets.data(), encoded.octets.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  if (!encoded.fds.empty()) {
    const size_t octets = encoded.fds.size() * sizeof(int);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(octets);
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(octets);
    std::memcpy(CMSG_DATA(c), encoded.fds.data(), octets);
  }
  const auto deadline = std::chrono::steady_clock::now() + kSendPatience;
  while (sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return SendFailed(errno);
    if (!WaitWritable(fd_.get(), deadline)) {
      return absl::DeadlineExceededError(
          absl::StrCat("the other process takes no messages (", MessageName(message), ")"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> Channel::Receive() {
  std::vector<uint8_t> octets(kMaxDatagram);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  iovec iov{octets.data(), octets.size()};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n;
  do {
    n = recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return absl::NotFoundError("no message waits");
  if (n < 0) return absl::UnavailableError(absl::StrCat("the other process: ", strerror(errno)));
  std::vector<UniqueFd> fds = TakeFds(&header);
  // Nobody sends an empty datagram, so this is the end of the connection.
  if (n == 0) return absl::UnavailableError("the other process has gone");
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return absl::InvalidArgumentError("message too long, or descriptors were lost on the way");
  }
  octets.resize(static_cast<size_t>(n));
  return DecodeMessage(octets, std::move(fds));
}

}  // namespace cipe::ipc
