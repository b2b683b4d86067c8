#include "broker/dns_query.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

// Of the first try at each server; c-ares doubles it for the second.
constexpr int kTimeoutMs = 2000;
constexpr int kTries = 2;

DnsAnswer Read(const ares_addrinfo& list, uint16_t port) {
  DnsAnswer answer;
  int ttl = std::numeric_limits<int>::max();
  for (const ares_addrinfo_cname* c = list.cnames; c != nullptr; c = c->next) {
    ttl = std::min(ttl, c->ttl);
  }
  for (const ares_addrinfo_node* n = list.nodes; n != nullptr; n = n->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, n->ai_addr, std::min<size_t>(n->ai_addrlen, sizeof address));
    Endpoint endpoint = Endpoint::FromSockaddr(address);
    if (!endpoint.address.is_set()) continue;
    endpoint.port = port;
    ttl = std::min(ttl, n->ai_ttl);
    if (answer.endpoints.size() < DnsQuery::kMostAddresses) answer.endpoints.push_back(endpoint);
  }
  answer.ttl = std::chrono::seconds(std::max(0, ttl));
  return answer;
}

}  // namespace

DnsQuery::DnsQuery(EventLoop& loop, config::EndpointSpec spec, Done done)
    : loop_(loop),
      spec_(std::move(spec)),
      done_(std::move(done)),
      result_(absl::UnknownError("not answered yet")) {
  static const int library = ares_library_init(ARES_LIB_INIT_ALL);
  ares_options options{};
  options.timeout = kTimeoutMs;
  options.tries = kTries;
  options.sock_state_cb = OnSocket;
  options.sock_state_cb_data = this;
  const int status =
      library != ARES_SUCCESS
          ? library
          : ares_init_options(&channel_, &options,
                              ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) {
    channel_ = nullptr;
    OnResult(this, status, 0, nullptr);
  } else {
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_DGRAM;
    ares_getaddrinfo(channel_, spec_.host.c_str(), nullptr, &hints, OnResult, this);
  }
  ArmTimer();  // whoever asks is told later, even of what is known by now
}

DnsQuery::~DnsQuery() {
  done_ = nullptr;
  loop_.Cancel(timer_);
  for (const int fd : watched_) loop_.Unwatch(fd);
  if (channel_ != nullptr) ares_destroy(channel_);
}

void DnsQuery::OnSocket(void* self, ares_socket_t fd, int readable, int writable) {
  auto* query = static_cast<DnsQuery*>(self);
  if (query->done_ == nullptr) return;  // being destroyed: nothing is watched any more
  query->loop_.Unwatch(fd);
  query->watched_.erase(fd);
  if (readable == 0 && writable == 0) return;
  const uint32_t events = (readable != 0 ? EPOLLIN : 0u) | (writable != 0 ? EPOLLOUT : 0u);
  // A socket that cannot be watched is one whose question times out.
  if (!query->loop_
           .Watch(fd, events,
                  [query, fd](uint32_t seen) {
                    const bool reads = (seen & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
                    query->Step(reads ? fd : ARES_SOCKET_BAD,
                                (seen & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
                  })
           .ok()) {
    return;
  }
  query->watched_.insert(fd);
}

absl::Status DnsQuery::Failure(int status) const {
  const std::string text = absl::StrCat("cannot resolve ", spec_.host, ": ", ares_strerror(status));
  if (status == ARES_ETIMEOUT) return absl::DeadlineExceededError(text);
  return absl::NotFoundError(text);
}

void DnsQuery::OnResult(void* self, int status, int /*timeouts*/, ares_addrinfo* result) {
  auto* query = static_cast<DnsQuery*>(self);
  query->ended_ = true;
  if (status != ARES_SUCCESS) {
    query->result_ = query->Failure(status);
  } else {
    query->result_ = Read(*result, query->spec_.port);
    if (query->result_->endpoints.empty()) query->result_ = query->Failure(ARES_ENODATA);
  }
  if (result != nullptr) ares_freeaddrinfo(result);
}

void DnsQuery::Step(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel_, readable, writable);
  AfterStep();
}

void DnsQuery::ArmTimer() {
  loop_.Cancel(timer_);
  timer_ = TimerId::kNone;
  Duration wait{};
  if (!ended_) {
    timeval left{};
    if (ares_timeout(channel_, nullptr, &left) == nullptr) return;
    // Rounded up: a timer that comes too early only has to be set again.
    wait = std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec) +
           std::chrono::milliseconds(1);
  }
  timer_ = loop_.After(wait, [this] {
    timer_ = TimerId::kNone;
    if (ended_) return AfterStep();
    Step(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  });
}

void DnsQuery::AfterStep() {
  if (!ended_) return ArmTimer();
  loop_.Cancel(timer_);
  timer_ = TimerId::kNone;
  const Done done = std::exchange(done_, [](const absl::StatusOr<DnsAnswer>&) {});
  absl::StatusOr<DnsAnswer> result = std::move(result_);
  done(std::move(result));  // may have destroyed this query
}

}  // namespace cipe::broker
