#include "netlink/socket.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::netlink {
namespace {

constexpr int kDumpAttempts = 5;
constexpr int kTimeoutSeconds = 5;
// The kernel fills dumps up to 32 KB per datagram when the reader's buffer allows it.
constexpr size_t kReceiveBuffer = 64 * 1024;

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::StatusCode::kPermissionDenied;
    case EEXIST:
    case EADDRINUSE:
      return absl::StatusCode::kAlreadyExists;
    case ENOENT:
    case ENODEV:
    case ESRCH:
    case EADDRNOTAVAIL:
      return absl::StatusCode::kNotFound;
    case ENETUNREACH:
    case EHOSTUNREACH:
      return absl::StatusCode::kUnavailable;
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
      return absl::StatusCode::kUnimplemented;
    case EINVAL:
    case ERANGE:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

// The kernel's own words: NLMSGERR_ATTR_MSG, which follows the error (and, unless it was capped,
// the whole request), netlink(7).
std::string ExtendedText(const nlmsghdr& message) {
  if (!(message.nlmsg_flags & NLM_F_ACK_TLVS)) return "";
  absl::Span<const uint8_t> rest = Payload(message);
  nlmsgerr error;
  if (rest.size() < sizeof error) return "";
  std::memcpy(&error, rest.data(), sizeof error);
  size_t skip = sizeof error;
  if (!(message.nlmsg_flags & NLM_F_CAPPED)) {
    skip += NLMSG_ALIGN(error.msg.nlmsg_len) - sizeof(nlmsghdr);
  }
  if (skip > rest.size()) return "";
  return Attributes(rest.subspan(skip), NLMSGERR_ATTR_MAX).String(NLMSGERR_ATTR_MSG);
}

absl::Status StatusOf(const nlmsghdr& message, absl::string_view what) {
  const absl::Span<const uint8_t> payload = Payload(message);
  int error = 0;
  if (payload.size() < sizeof error) {
    return absl::InternalError(absl::StrCat(what, ": short answer from the kernel"));
  }
  std::memcpy(&error, payload.data(), sizeof error);
  if (error == 0) return absl::OkStatus();
  return ErrorStatus(-error, what, ExtendedText(message));
}

enum class Step { kMore, kDone };

// One datagram: collects answers to `sequence`, notices the end.
absl::StatusOr<Step> Collect(absl::Span<const uint8_t> datagram, uint32_t sequence, bool dump,
                             absl::string_view what, bool* interrupted,
                             std::vector<std::vector<uint8_t>>* messages) {
  int left = static_cast<int>(datagram.size());
  const auto* h = reinterpret_cast<const nlmsghdr*>(datagram.data());
  for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
    if (h->nlmsg_seq != sequence) continue;  // late answer to a request that timed out
    if (h->nlmsg_flags & NLM_F_DUMP_INTR) *interrupted = true;
    if (h->nlmsg_type == NLMSG_ERROR || (h->nlmsg_type == NLMSG_DONE && dump)) {
      CIPE_RETURN_IF_ERROR(StatusOf(*h, what));
      return Step::kDone;
    }
    if (h->nlmsg_type < NLMSG_MIN_TYPE) continue;
    const auto* raw = reinterpret_cast<const uint8_t*>(h);
    messages->emplace_back(raw, raw + h->nlmsg_len);
  }
  return Step::kMore;
}

void Deliver(const std::vector<std::vector<uint8_t>>& messages, const MessageHandler& handler) {
  for (const std::vector<uint8_t>& m : messages) {
    handler(*reinterpret_cast<const nlmsghdr*>(m.data()));
  }
}

}  // namespace

absl::Status ErrorStatus(int error, absl::string_view what, absl::string_view kernel_says) {
  std::string text = absl::StrCat(what, ": ", strerror(error));
  if (!kernel_says.empty()) absl::StrAppend(&text, " (", kernel_says, ")");
  if (error == EPERM) absl::StrAppend(&text, "; this needs root or CAP_NET_ADMIN");
  return absl::Status(CodeOf(error), text);
}

void Socket::Closer::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

Socket::Socket(mnl_socket* socket) : socket_(socket) {}

absl::StatusOr<Socket> Socket::Open() {
  mnl_socket* raw = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (raw == nullptr) return ErrorStatus(errno, "open rtnetlink socket");
  Socket socket(raw);
  if (mnl_socket_bind(raw, 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrorStatus(errno, "bind rtnetlink socket");
  }
  int on = 1;
  // Better texts, short acknowledgements, filters done by the kernel: all optional.
  for (int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    mnl_socket_setsockopt(raw, option, &on, sizeof on);
  }
  const timeval timeout{kTimeoutSeconds, 0};
  setsockopt(mnl_socket_get_fd(raw), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  return socket;
}

absl::Status Socket::Send(Message* message, uint16_t extra_flags, absl::string_view what) {
  if (message->overflown()) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": request too long"));
  }
  message->header()->nlmsg_seq = ++sequence_;
  message->header()->nlmsg_flags |= extra_flags;
  const absl::Span<const uint8_t> bytes = message->bytes();
  if (mnl_socket_sendto(socket_.get(), bytes.data(), bytes.size()) < 0) {
    return ErrorStatus(errno, what);
  }
  return absl::OkStatus();
}

absl::Status Socket::Receive(absl::string_view what, bool dump, bool* interrupted,
                             std::vector<std::vector<uint8_t>>* messages) {
  // uint64_t: nlmsghdr has to be aligned.
  std::vector<uint64_t> buffer(kReceiveBuffer / sizeof(uint64_t));
  while (true) {
    sockaddr_nl from{};
    socklen_t from_size = sizeof from;
    const ssize_t n = recvfrom(mnl_socket_get_fd(socket_.get()), buffer.data(), kReceiveBuffer,
                               MSG_TRUNC, reinterpret_cast<sockaddr*>(&from), &from_size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      return absl::DeadlineExceededError(absl::StrCat(what, ": the kernel did not answer"));
    }
    if (n < 0) return ErrorStatus(errno, what);
    if (from.nl_pid != 0) continue;  // only the kernel has port 0
    if (static_cast<size_t>(n) > kReceiveBuffer) {
      return absl::InternalError(absl::StrCat(what, ": answer of ", n, " octets does not fit"));
    }
    const absl::Span<const uint8_t> datagram(reinterpret_cast<const uint8_t*>(buffer.data()),
                                             static_cast<size_t>(n));
    CIPE_ASSIGN_OR_RETURN(const Step step,
                          Collect(datagram, sequence_, dump, what, interrupted, messages));
    if (step == Step::kDone) return absl::OkStatus();
  }
}

absl::Status Socket::Request(Message* message, absl::string_view what) {
  return Get(message, what, [](const nlmsghdr&) {});
}

absl::Status Socket::Get(Message* message, absl::string_view what, const MessageHandler& handler) {
  CIPE_RETURN_IF_ERROR(Send(message, NLM_F_ACK, what));
  bool interrupted = false;
  std::vector<std::vector<uint8_t>> messages;
  CIPE_RETURN_IF_ERROR(Receive(what, false, &interrupted, &messages));
  Deliver(messages, handler);
  return absl::OkStatus();
}

absl::Status Socket::Dump(Message* message, absl::string_view what, const MessageHandler& handler) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    CIPE_RETURN_IF_ERROR(Send(message, NLM_F_DUMP, what));
    bool interrupted = false;
    std::vector<std::vector<uint8_t>> messages;
    CIPE_RETURN_IF_ERROR(Receive(what, true, &interrupted, &messages));
    if (interrupted) continue;
    Deliver(messages, handler);
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat(what, ": changed during each of ", kDumpAttempts, " attempts to list it"));
}

}  // namespace cipe::netlink
