// One question about one name to hosts(5) and the DNS servers of resolv.conf(5), by c-ares, without
// blocking. Both families at once. resolv.conf is read for each question, so that its changes need
// no notice, and each question has a source port of its own.
#pragma once

#include <ares.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "config/endpoint_spec.h"

namespace cipe::broker {

struct DnsAnswer {
  std::vector<Endpoint> endpoints;  // RFC 6724 order, never empty, at most kMostAddresses
  Duration ttl{};  // the least of the records and aliases it was made from; 0 from hosts(5)
};

class DnsQuery {
 public:
  // Of one name; what else a server sends is left out.
  static constexpr size_t kMostAddresses = 16;
  using Done = std::function<void(absl::StatusOr<DnsAnswer>)>;

  // Asks. `done` runs once, on the loop, never from within this call; it may destroy the query.
  // NotFound: no server knows such a name or an address of it, or there is no server to ask.
  // DeadlineExceeded: servers are configured and silent (after about 6 s for each).
  // `loop` must outlive the query.
  DnsQuery(EventLoop& loop, config::EndpointSpec spec, Done done);
  // `done` does not run any more.
  ~DnsQuery();
  DnsQuery(const DnsQuery&) = delete;
  DnsQuery& operator=(const DnsQuery&) = delete;

 private:
  static void OnSocket(void* self, ares_socket_t fd, int readable, int writable);
  static void OnResult(void* self, int status, int timeouts, ares_addrinfo* result);
  void Step(ares_socket_t readable, ares_socket_t writable);
  void ArmTimer();
  void AfterStep();
  absl::Status Failure(int status) const;

  EventLoop& loop_;
  const config::EndpointSpec spec_;
  Done done_;
  ares_channel channel_ = nullptr;
  std::set<int> watched_;
  TimerId timer_ = TimerId::kNone;
  bool ended_ = false;  // result_ is there, `done_` has to be told
  absl::StatusOr<DnsAnswer> result_;
};

}  // namespace cipe::broker
