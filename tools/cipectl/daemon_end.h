// Waiting until a ciped that ends has ended.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "base/unique_fd.h"

namespace cipe::cipectl {

// Made before the request that ends it, so that its process id cannot be another's by then.
class DaemonEnd {
 public:
  // The ciped that listens at the other end of `connection` (SO_PEERCRED, unix(7)). One that cannot
  // be watched, for it runs in another process id namespace, counts as ended.
  explicit DaemonEnd(int connection);
  // False when it still runs after `patience`.
  bool Wait(std::chrono::milliseconds patience) const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  UniqueFd process_;
};

}  // namespace cipe::cipectl
