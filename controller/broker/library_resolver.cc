#include "broker/library_resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace cipe::broker {
namespace {

constexpr size_t kMaxWaiting = 65536;

Found AskLibrary(const config::EndpointSpec& spec, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(spec.host.c_str(), absl::StrCat(spec.port).c_str(), &hints, &list);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot resolve ", spec.host, ": ", gai_strerror(error)));
  }
  std::vector<Endpoint> found;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, a->ai_addr, std::min<size_t>(a->ai_addrlen, sizeof address));
    const Endpoint endpoint = Endpoint::FromSockaddr(address);
    if (endpoint.is_set()) found.push_back(endpoint);
  }
  freeaddrinfo(list);
  if (found.empty()) return absl::UnavailableError(absl::StrCat(spec.host, " has no address"));
  return found;
}

}  // namespace

struct LibraryResolver::Shared {
  struct Question {
    config::EndpointSpec spec;
    Done done;
  };
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Question> questions;
  EventLoop* loop;  // null: the resolver has gone
  Lookup lookup;
};

absl::StatusOr<Endpoint> ParseNumericEndpoint(const config::EndpointSpec& spec) {
  Found found = AskLibrary(spec, AI_NUMERICHOST);
  if (!found.ok()) return absl::NotFoundError(absl::StrCat(spec.host, " is a name"));
  return found->front();
}

LibraryResolver::LibraryResolver(EventLoop& loop, Lookup lookup)
    : shared_(std::make_shared<Shared>()) {
  shared_->loop = &loop;
  shared_->lookup = lookup ? std::move(lookup)
                           : [](const config::EndpointSpec& spec) { return AskLibrary(spec, 0); };
  // Detached: it may sit in the C library long after we want to end.
  std::thread(Work, shared_).detach();
}

LibraryResolver::~LibraryResolver() {
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
  shared_->questions.clear();
  shared_->wake.notify_all();
}

void LibraryResolver::Resolve(const config::EndpointSpec& spec, Done done) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->questions.size() >= kMaxWaiting) {
    shared_->loop->Post([done = std::move(done)] {
      done(absl::ResourceExhaustedError("too many names are waiting to be resolved"));
    });
    return;
  }
  shared_->questions.push_back({spec, std::move(done)});
  shared_->wake.notify_one();
}

void LibraryResolver::Work(std::shared_ptr<Shared> shared) {
  std::unique_lock lock(shared->mutex);
  while (true) {
    shared->wake.wait(lock, [&] { return shared->loop == nullptr || !shared->questions.empty(); });
    if (shared->loop == nullptr) return;
    Shared::Question question = std::move(shared->questions.front());
    shared->questions.pop_front();
    lock.unlock();
    Found answer = shared->lookup(question.spec);
    lock.lock();
    if (shared->loop == nullptr) return;
    shared->loop->Post([done = std::move(question.done), answer = std::move(answer),
                        weak = std::weak_ptr<Shared>(shared)] {
      // The resolver may have gone between the posting and now; its owner with it.
      const auto alive = weak.lock();
      if (alive == nullptr) return;
      {
        const std::lock_guard inner(alive->mutex);
        if (alive->loop == nullptr) return;
      }
      done(answer);
    });
  }
}

}  // namespace cipe::broker
