// One rtnetlink socket (rtnetlink(7), over libmnl): a request and its acknowledgement, dumps.
// Belongs to the network namespace of the thread that opened it. Not thread-safe; blocks for 5 s at
// most.
#pragma once

#include <linux/netlink.h>

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netlink/message.h"

struct mnl_socket;

namespace cipe::netlink {

// Called for each message of an answer; points into a buffer that dies with the call.
using MessageHandler = std::function<void(const nlmsghdr& message)>;

class Socket {
 public:
  static absl::StatusOr<Socket> Open();
  Socket(Socket&&) noexcept = default;
  Socket& operator=(Socket&&) noexcept = default;

  // Sends and waits for the acknowledgement. `what` says what is being done ("add route 10.0.0.0/8
  // dev site-a") and starts the error text, which goes on with the kernel's own words (extended
  // acknowledgement) where it gave some. Codes: see ErrorStatus.
  absl::Status Request(Message* message, absl::string_view what);
  // Sends a request that is answered by one message (RTM_GETLINK, RTM_GETROUTE of one thing).
  absl::Status Get(Message* message, absl::string_view what, const MessageHandler& handler);
  // NLM_F_DUMP is added. The handler sees a consistent dump: one that the kernel marks as
  // interrupted is collected again, up to 5 times, before the handler is called at all.
  absl::Status Dump(Message* message, absl::string_view what, const MessageHandler& handler);

 private:
  struct Closer {
    void operator()(mnl_socket* socket) const;
  };
  explicit Socket(mnl_socket* socket);
  absl::Status Send(Message* message, uint16_t extra_flags, absl::string_view what);
  absl::Status Receive(absl::string_view what, bool dump, bool* interrupted,
                       std::vector<std::vector<uint8_t>>* messages);

  std::unique_ptr<mnl_socket, Closer> socket_;
  uint32_t sequence_ = 0;
};

// EPERM and EACCES: PermissionDenied; EEXIST, EADDRINUSE: AlreadyExists; ENOENT, ENODEV, ESRCH,
// EADDRNOTAVAIL: NotFound; ENETUNREACH, EHOSTUNREACH: Unavailable; EOPNOTSUPP: Unimplemented;
// EINVAL, ERANGE: InvalidArgument; else Internal. `kernel_says` may be empty.
absl::Status ErrorStatus(int error, absl::string_view what, absl::string_view kernel_says = "");

}  // namespace cipe::netlink
