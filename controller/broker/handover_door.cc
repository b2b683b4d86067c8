#include "broker/handover_door.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "ipc/archive.h"

namespace cipe::broker {
namespace {

constexpr char kSocket[] = "/handover.sock";
constexpr auto kHelloPatience = std::chrono::seconds(5);
constexpr timeval kPatience = {15, 0};
constexpr size_t kMaxHello = 16384;
constexpr size_t kFdsAtOnce = 200;  // SCM_MAX_FD is 253

// First octet of a datagram.
enum class Kind : uint8_t { kHello = 1, kRefusal, kStops, kDescriptors, kEnd, kTaken };

template <typename Ar>
void Fields(Ar& ar, SuccessorHello& m) {
  ar.Number(m.version);
  ar.Number(m.abi);
  ar.String(m.config_dir);
  ar.String(m.state_dir);
}

absl::Status Failed(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("handing over: ", what, ": ", strerror(errno)));
}

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("path of a socket is too long: ", path, "; use a shorter --runtime-dir"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status Send(int fd, Kind kind, absl::string_view text, absl::Span<const int> fds = {}) {
  uint8_t first = static_cast<uint8_t>(kind);
  iovec parts[] = {{&first, 1}, {const_cast<char*>(text.data()), text.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsAtOnce * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  }
  const ssize_t n = sendmsg(fd, &header, MSG_NOSIGNAL);
  return n < 0 ? Failed("send") : absl::OkStatus();
}

struct Datagram {
  Kind kind = Kind::kEnd;
  std::string text;
};

absl::StatusOr<Datagram> Receive(int fd, std::vector<UniqueFd>* fds) {
  std::string buffer(kMaxHello, '\0');
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kFdsAtOnce * sizeof(int))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
  if (n < 0 && errno == EAGAIN) {
    return absl::DeadlineExceededError(
        absl::StrCat("the other ciped said nothing for ", kPatience.tv_sec, " s"));
  }
  if (n < 0) return Failed("receive");
  std::vector<UniqueFd> received;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int one = -1;
      std::memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
      received.emplace_back(one);
    }
  }
  if (n == 0) return absl::UnavailableError("the other ciped has gone");
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return absl::InvalidArgumentError("handing over: a message was cut off (too many open files?)");
  }
  if (fds != nullptr) std::move(received.begin(), received.end(), std::back_inserter(*fds));
  return Datagram{static_cast<Kind>(buffer[0]), buffer.substr(1, static_cast<size_t>(n) - 1)};
}

// What the successor can do about it.
absl::Status WhyNothingCame(int giver, const absl::Status& status) {
  if (absl::IsUnavailable(status)) {
    return absl::NotFoundError("the running ciped ended while it handed over");
  }
  if (!absl::IsDeadlineExceeded(status)) return status;
  ucred who{};
  socklen_t size = sizeof who;
  getsockopt(giver, SOL_SOCKET, SO_PEERCRED, &who, &size);
  return absl::Status(status.code(),
                      absl::StrCat("not replaced: ", status.message(), "; if process ", who.pid,
                                   " hangs, end it by `kill -9 ", who.pid, "`, and start again"));
}

absl::StatusOr<UniqueFd> Socket(int flags) {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!fd.valid()) return Failed("socket");
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HandoverDoor>> HandoverDoor::Open(EventLoop& loop,
                                                                 const std::string& runtime_dir,
                                                                 Asked asked) {
  const std::string path = runtime_dir + kSocket;
  CIPE_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  CIPE_ASSIGN_OR_RETURN(UniqueFd fd, Socket(SOCK_NONBLOCK));
  unlink(path.c_str());  // a killed ciped's, or that of the one we replace
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(fd.get(), 4) != 0) {
    return Failed(path);
  }
  std::unique_ptr<HandoverDoor> door(new HandoverDoor(loop, path, std::move(fd), std::move(asked)));
  HandoverDoor* d = door.get();
  CIPE_RETURN_IF_ERROR(loop.Watch(d->listener_.get(), EPOLLIN, [d](uint32_t) { d->OnAccept(); }));
  return door;
}

HandoverDoor::~HandoverDoor() {
  Hang();
  loop_.Unwatch(listener_.get());
  unlink(path_.c_str());
}

void HandoverDoor::Hang() {
  loop_.Cancel(patience_);
  patience_ = TimerId::kNone;
  if (client_.valid()) loop_.Unwatch(client_.get());
  client_.reset();
}

void HandoverDoor::OnAccept() {
  UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.valid()) return;
  ucred who{};
  socklen_t size = sizeof who;
  const bool known = getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
  if (!known || (who.uid != 0 && who.uid != geteuid())) {
    return RefuseHandover(client.get(), "only root may ask for that");
  }
  Hang();  // who came before has not said a word yet
  client_ = std::move(client);
  const absl::Status watched = loop_.Watch(client_.get(), EPOLLIN, [this](uint32_t) { OnHello(); });
  if (!watched.ok()) return client_.reset();
  patience_ = loop_.After(kHelloPatience, [this] { Hang(); });
}

void HandoverDoor::OnHello() {
  loop_.Unwatch(client_.get());
  UniqueFd client = std::move(client_);
  Hang();
  const auto datagram = Receive(client.get(), nullptr);
  if (!datagram.ok() || datagram->kind != Kind::kHello) return;
  const auto* octets = reinterpret_cast<const uint8_t*>(datagram->text.data());
  ipc::Reader reader({octets, datagram->text.size()});
  SuccessorHello hello;
  Fields(reader, hello);
  if (!reader.Finished()) return RefuseHandover(client.get(), "the request makes no sense");
  asked_(hello, std::move(client));
}

void RefuseHandover(int client, absl::string_view refusal, bool stops) {
  Send(client, stops ? Kind::kStops : Kind::kRefusal, refusal).IgnoreError();
}

absl::Status GiveHandover(int client, const PackedHandover& packed) {
  // From here on we wait for nobody else.
  fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK);
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  std::vector<int> fds = {packed.document.get()};
  fds.insert(fds.end(), packed.fds.begin(), packed.fds.end());
  for (size_t i = 0; i < fds.size(); i += kFdsAtOnce) {
    const size_t n = std::min(kFdsAtOnce, fds.size() - i);
    CIPE_RETURN_IF_ERROR(
        Send(client, Kind::kDescriptors, "", absl::MakeConstSpan(fds).subspan(i, n)));
  }
  CIPE_RETURN_IF_ERROR(Send(client, Kind::kEnd, ""));
  CIPE_ASSIGN_OR_RETURN(const Datagram answer, Receive(client, nullptr));
  if (answer.kind == Kind::kTaken) return absl::OkStatus();
  return absl::UnavailableError("the successor has not taken over");
}

absl::StatusOr<TakenHandover> TakeHandover(const std::string& runtime_dir,
                                           const SuccessorHello& hello) {
  CIPE_ASSIGN_OR_RETURN(const sockaddr_un address, Address(runtime_dir + kSocket));
  TakenHandover taken;
  CIPE_ASSIGN_OR_RETURN(taken.giver, Socket(0));
  const int fd = taken.giver.get();
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno != ENOENT && errno != ECONNREFUSED) return Failed(address.sun_path);
    return absl::NotFoundError(absl::StrCat("no ciped to replace runs on ", runtime_dir));
  }
  SuccessorHello copy = hello;
  ipc::Writer counter(nullptr);
  Fields(counter, copy);
  std::string text(counter.size(), '\0');
  ipc::Writer writer(reinterpret_cast<uint8_t*>(text.data()));
  Fields(writer, copy);
  CIPE_RETURN_IF_ERROR(Send(fd, Kind::kHello, text));
  while (true) {
    const absl::StatusOr<Datagram> datagram = Receive(fd, &taken.fds);
    if (!datagram.ok()) return WhyNothingCame(fd, datagram.status());
    if (datagram->kind == Kind::kEnd) return taken;
    if (datagram->kind == Kind::kDescriptors) continue;
    if (datagram->kind == Kind::kStops) return absl::AbortedError(datagram->text);
    return absl::FailedPreconditionError(
        absl::StrCat("the running ciped does not hand over: ", datagram->text));
  }
}

absl::Status FinishHandover(int giver) { return Send(giver, Kind::kTaken, ""); }

}  // namespace cipe::broker
