// Names of endpoints to addresses, in a thread of its own: getaddrinfo(3) may take half a minute
// and the loop must not.
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
using Resolved = absl::StatusOr<std::vector<Endpoint>>;

// Addresses written as numbers, without asking anybody: NotFound when `spec` is a name.
absl::StatusOr<Endpoint> ParseNumericEndpoint(const config::EndpointSpec& spec);

class Resolver {
 public:
  using Done = std::function<void(Resolved)>;
  using Lookup = std::function<Resolved(const config::EndpointSpec&)>;

  // `loop` must outlive the resolver. `lookup` runs in the other thread; the default asks
  // getaddrinfo(3).
  explicit Resolver(EventLoop& loop, Lookup lookup = nullptr);
  // Answers that are still on their way are dropped; never waits for the thread.
  ~Resolver();

  // `done` runs on the loop's thread. Unavailable names the host and the resolver's reason;
  // ResourceExhausted when 65536 questions wait already (answered at once).
  void Resolve(const config::EndpointSpec& spec, Done done);

 private:
  struct Shared;
  static void Work(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

}  // namespace cipe::broker
