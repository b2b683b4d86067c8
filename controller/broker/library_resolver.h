// Names of endpoints to addresses by getaddrinfo(3), which also asks what only nsswitch.conf(5)
// knows of; in a thread of its own, since it may take half a minute and the loop must not.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/ip_address.h"
#include "config/model.h"

namespace cipe::broker {

// All addresses of the name, in the order of RFC 6724 (as the C library sorts them).
using Found = absl::StatusOr<std::vector<Endpoint>>;

// Addresses written as numbers, without asking anybody: NotFound when `spec` is a name.
absl::StatusOr<Endpoint> ParseNumericEndpoint(const config::EndpointSpec& spec);

class LibraryResolver {
 public:
  using Done = std::function<void(Found)>;
  using Lookup = std::function<Found(const config::EndpointSpec&)>;

  // `loop` must outlive the resolver. `lookup` runs in the other thread; the default asks
  // getaddrinfo(3).
  explicit LibraryResolver(EventLoop& loop, Lookup lookup = nullptr);
  // Answers that are still on their way are dropped; never waits for the thread.
  ~LibraryResolver();

  // `done` runs on the loop's thread. Unavailable names the host and the resolver's reason;
  // ResourceExhausted when 65536 questions wait already (answered at once).
  void Resolve(const config::EndpointSpec& spec, Done done);

 private:
  struct Shared;
  static void Work(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace cipe::broker
