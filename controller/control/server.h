// The control socket: many clients, one request each at a time, none of whom can make the loop
// wait.
//
// Who may what: uid 0 and the owner may change things; everybody whom the socket file's mode lets
// connect (group cipe, broker/runtime_dir.h) may read. Bounds: 64 clients (the last 16 places only
// for those who may change things), of which 32 may subscribe, since who does stays for as long as
// he likes; 64 KB per request, 64 MB per reply and 128 MB of unread replies in all; a client that
// neither completes a request nor reads its reply for 30 s is closed. Runs on the loop's thread.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "control/reply.h"
#include "control/request.h"

namespace cipe::control {

class ServerCore;

// The right to answer one request, once; may be kept for as long as it takes and outlive client and
// server. Destroyed unanswered it answers with an internal error, so that nobody waits forever.
// Belongs to the loop's thread.
class Responder {
 public:
  Responder() = default;
  Responder(std::weak_ptr<ServerCore> core, uint64_t client)
      : core_(std::move(core)), client_(client) {}
  Responder(Responder&& other) noexcept;
  Responder& operator=(Responder&& other) noexcept;
  ~Responder();

  void Send(const Reply& reply);  // nothing happens when the client is gone or was answered
  void Ok(Json result, int exit = kExitDone) { Send(OkReply(std::move(result), exit)); }
  void Fail(Error error) { Send(ErrorReply(std::move(error))); }
  void Fail(const absl::Status& status) { Send(ErrorReply(ErrorFromStatus(status))); }
  // Answers with an empty result; from then on the client is sent what is published for `tunnel`
  // (empty: for all). An error when there are too many that are sent it.
  void Subscribe(const std::string& tunnel);
  // False when nobody is left to read the answer.
  bool wanted() const;

 private:
  std::weak_ptr<ServerCore> core_;
  uint64_t client_ = 0;  // 0: nothing to answer
};

// Called on the loop's thread with requests that are valid and permitted.
using Handler = std::function<void(const Request& request, Responder responder)>;

struct ServerOptions {
  uid_t owner = 0;  // may change things, as uid 0 may
  int max_clients = 64;
  int reserved_clients = 16;  // of max_clients, for those who may change things
  int max_subscribers = 32;  // of max_clients, whoever they are: root's monitors, too, leave places
  size_t max_reply = kMaxReplySize;
  size_t max_buffered = 2 * kMaxReplySize;
  Duration idle_timeout = std::chrono::seconds(30);
  // Who is at the other end: SO_PEERCRED, unix(7).
  std::function<absl::StatusOr<ucred>(int fd)> credentials;
};

class ControlServer {
 public:
  // `listener`: a bound, listening AF_UNIX stream socket; made non-blocking here. `loop` must
  // outlive the server.
  static absl::StatusOr<std::unique_ptr<ControlServer>> Create(EventLoop& loop, UniqueFd listener,
                                                               Handler handler,
                                                               ServerOptions options = {});
  ~ControlServer();  // closes every client
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  int clients() const;
  // One document to every subscriber of `tunnel`. One that has more than kMaxUnreadEvents octets to
  // read is disconnected.
  static constexpr size_t kMaxUnreadEvents = 1 << 20;
  void Publish(const std::string& tunnel, const Json& document);
  bool watched() const;  // is there any subscriber?

 private:
  explicit ControlServer(std::shared_ptr<ServerCore> core);
  std::shared_ptr<ServerCore> core_;
};

}  // namespace cipe::control
