#include "socks/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace cipe::socks {
namespace {

// A server that vanished without a word is noticed after about a minute.
void KeepAlive(int fd) {
  const std::pair<int, int> options[] = {{TCP_KEEPIDLE, 30}, {TCP_KEEPINTVL, 10}, {TCP_KEEPCNT, 3}};
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  for (const auto& [name, value] : options) setsockopt(fd, IPPROTO_TCP, name, &value, sizeof value);
}

constexpr size_t kMostSurplus = 4096;

std::string Seconds(Duration d) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
  return absl::StrCat(ms < 1000 ? absl::StrCat(ms, " ms") : absl::StrCat(ms / 1000, " s"));
}

}  // namespace

Connection::Connection(EventLoop& loop, std::string name, Find find, Credentials credentials,
                       OnChange on_change, ConnectionTimes times)
    : loop_(loop),
      name_(std::move(name)),
      find_(std::move(find)),
      credentials_(std::move(credentials)),
      on_change_(std::move(on_change)),
      times_(times) {
  timer_ = loop_.After(Duration::zero(), [this] { Start(); });
}

Connection::~Connection() {
  alive_.reset();
  Close();
}

void Connection::Close() {
  loop_.Cancel(std::exchange(timer_, TimerId::kNone));
  if (fd_.valid()) loop_.Unwatch(fd_.get());
  fd_.reset();
  client_.reset();
  sending_ = SecretBytes();
  sent_ = 0;
}

void Connection::Start() {
  timer_ = loop_.After(times_.patience, [this] {
    timer_ = TimerId::kNone;
    Fail(absl::DeadlineExceededError(absl::StrCat("no answer within ", Seconds(times_.patience))));
  });
  find_(
      [this, alive = std::weak_ptr<bool>(alive_), timer = timer_](absl::StatusOr<Endpoint> found) {
        // Late answers belong to an attempt that was given up.
        if (alive.expired() || timer != timer_ || fd_.valid()) return;
        if (!found.ok()) return Fail(found.status());
        Connect(*found);
      });
}

void Connection::Connect(const Endpoint& server) {
  server_ = server;
  sockaddr_storage address{};
  const socklen_t size = server.ToSockaddr(&address);
  fd_ = UniqueFd(socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_.valid()) return Fail(absl::UnavailableError(strerror(errno)));
  KeepAlive(fd_.get());
  if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS) {
    return Fail(absl::UnavailableError(strerror(errno)));
  }
  client_ = std::make_unique<Client>(credentials_);
  const absl::Status watched = loop_.Watch(fd_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP,
                                           [this](uint32_t events) { OnEvents(events); });
  if (!watched.ok()) Fail(watched);
}

void Connection::OnEvents(uint32_t events) {
  const absl::Status status = Advance(events);
  if (!status.ok()) return Fail(status);
  if (client_->done() && !associated_) OnAssociated();
}

absl::Status Connection::Advance(uint32_t events) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return absl::UnavailableError(strerror(error));
  if ((events & EPOLLIN) != 0) CIPE_RETURN_IF_ERROR(ReadSome());
  if ((events & (EPOLLHUP | EPOLLRDHUP)) != 0) {
    return absl::UnavailableError("the server closed the connection");
  }
  return Flush();
}

absl::Status Connection::Flush() {
  if (sent_ == sending_.size()) {
    sending_ = client_->TakeOutput();
    sent_ = 0;
  }
  while (sent_ < sending_.size()) {
    const auto left = sending_.UnsafeBytes().subspan(sent_);
    const ssize_t n = send(fd_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return absl::OkStatus();
    if (n < 0) return absl::UnavailableError(strerror(errno));
    sent_ += static_cast<size_t>(n);
  }
  return loop_.SetEvents(fd_.get(), EPOLLIN | EPOLLRDHUP);
}

// A few octets at a time: the exchange is short, and nobody may keep the loop busy. Afterwards the
// server has nothing to say; a little is read and ignored.
absl::Status Connection::ReadSome() {
  uint8_t buffer[512];
  const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, 0);
  if (n == 0) return absl::UnavailableError("the server closed the connection");
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return absl::OkStatus();
  if (n < 0) return absl::UnavailableError(strerror(errno));
  if (associated_ && (surplus_ += static_cast<size_t>(n)) > kMostSurplus) {
    return absl::InvalidArgumentError("it goes on talking after its answer");
  }
  return client_->Receive({buffer, static_cast<size_t>(n)});
}

void Connection::OnAssociated() {
  Endpoint relay = client_->relay();
  if (relay.address.is_unspecified()) {
    relay.address = server_.address;
    relay.scope_id = server_.scope_id;
  }
  if (!relay.address.is_v4()) {
    return Fail(absl::InvalidArgumentError("its relay is not IPv4, protocol 3 knows no other"));
  }
  if (const std::string why = WhyNoRelay(relay.address); !why.empty()) {
    return Fail(absl::InvalidArgumentError(absl::StrCat("its relay ", relay.ToString(), " ", why)));
  }
  associated_ = true;
  associated_at_ = loop_.Now();
  surplus_ = 0;
  loop_.Cancel(std::exchange(timer_, TimerId::kNone));
  on_change_(relay,
             absl::StrCat("connected to ", server_.ToString(), ", relay ", relay.ToString()));
}

// The server says where everything is sent to, and is not always to be believed.
std::string Connection::WhyNoRelay(const IpAddress& relay) const {
  if (relay == server_.address) return "";
  const uint8_t first = relay.octets[0];
  if (first == 0 || first >= 224) return "is no host's address";
  if (first == 127) return "is this host to every host";
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  return Endpoint::FromSockaddr(address).address == relay ? "is this host's own address" : "";
}

void Connection::Fail(const absl::Status& why) {
  Close();
  if (associated_ && loop_.Now() - associated_at_ >= times_.stands) failures_ = 0;
  // An association that stood and ended is tried again at once at first, a refused one is not.
  const int doublings = std::min(failures_++, 16);
  const Duration pause =
      std::min<Duration>(times_.first_pause * (1 << doublings), times_.longest_pause);
  associated_ = false;
  timer_ = loop_.After(pause, [this] { Start(); });
  on_change_({}, absl::StrCat("SOCKS server ", name_, ": ", std::string(why.message()),
                              "; again in ", Seconds(pause)));
}

}  // namespace cipe::socks
