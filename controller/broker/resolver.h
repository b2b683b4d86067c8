// Names of endpoints to addresses, without blocking: hosts(5) and DNS first, which say how long an
// answer holds; then, for what those do not know, the C library with all that nsswitch.conf(5)
// names.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "broker/dns_query.h"
#include "broker/library_resolver.h"
#include "config/endpoint_spec.h"

namespace cipe::broker {

// A DnsAnswer: endpoints in the order of RFC 6724 and how long they hold.
using Resolved = absl::StatusOr<DnsAnswer>;

class Resolver {
 public:
  using Done = std::function<void(Resolved)>;
  static constexpr size_t kAtOnce = 64;          // questions to DNS servers under way
  static constexpr size_t kMostWaiting = 65536;  // beside those
  // Of what the C library says, which tells no TTL.
  static constexpr Duration kLibraryTtl = std::chrono::seconds(300);

  // `loop` must outlive the resolver. `lookup` stands in for getaddrinfo(3).
  explicit Resolver(EventLoop& loop, LibraryResolver::Lookup lookup = nullptr);
  // Answers that are still on their way are dropped; never waits.
  ~Resolver();

  // `done` runs on the loop's thread, later; addresses written as numbers are answered too.
  // Unavailable names the host and why it has no address; ResourceExhausted when kMostWaiting
  // questions wait already.
  void Resolve(const config::EndpointSpec& spec, Done done);

 private:
  struct Question {
    config::EndpointSpec spec;
    Done done;
    std::unique_ptr<DnsQuery> query;  // while it runs
  };
  void StartNext();
  void OnDns(uint64_t number, Resolved answer);
  void AskLibrary(const config::EndpointSpec& spec, Done done);
  void Later(Done done, Resolved answer);

  EventLoop& loop_;
  std::deque<Question> waiting_;
  std::map<uint64_t, Question> running_;
  std::map<uint64_t, TimerId> later_;
  uint64_t next_ = 1;
  LibraryResolver library_;
};

}  // namespace cipe::broker
