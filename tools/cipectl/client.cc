#include "tools/cipectl/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"

namespace cipe::cipectl {
namespace {

constexpr auto kPatience = std::chrono::minutes(2);

absl::Status ConnectError(const std::string& path, int error) {
  if (error == ENOENT || error == ECONNREFUSED) {
    return absl::UnavailableError(
        absl::StrCat("ciped is not running (nobody answers at ", path,
                     "): 'cipectl up NAME' starts it; --runtime-dir looks elsewhere"));
  }
  if (error == EACCES || error == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat("no permission to connect to ", path, ": try as root, or join group cipe"));
  }
  return absl::InternalError(absl::StrCat("connecting to ", path, ": ", strerror(error)));
}

absl::Status SendAll(int fd, const std::string& text) {
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    // ciped may have answered and closed already (too many clients): its reply says more.
    if (n < 0 && errno == EPIPE) return absl::OkStatus();
    if (n < 0) return absl::InternalError(absl::StrCat("sending to ciped: ", strerror(errno)));
    sent += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// Waits until `fd` is readable.
absl::Status Await(int fd, std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return absl::DeadlineExceededError("ciped accepted the request and does not answer it");
    }
    pollfd waiting{fd, POLLIN, 0};
    const int n = poll(&waiting, 1, static_cast<int>(left.count()));
    if (n > 0) return absl::OkStatus();
    if (n < 0 && errno != EINTR) return absl::InternalError(strerror(errno));
  }
}

}  // namespace

absl::StatusOr<UniqueFd> Connect(const std::string& runtime_dir) {
  const std::string path = absl::StrCat(runtime_dir, "/", control::kSocketName);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        absl::StrCat("runtime directory ", runtime_dir, " is too long for a socket's path (108)"));
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return absl::InternalError(absl::StrCat("socket: ", strerror(errno)));
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return ConnectError(path, errno);
  }
  return fd;
}

absl::StatusOr<control::Reply> Call(int fd, const control::Request& request) {
  CIPE_RETURN_IF_ERROR(SendAll(fd, control::SerializeRequest(request) + '\0'));
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::string text;
  char buffer[16384];
  while (text.size() <= control::kMaxReplySize) {
    CIPE_RETURN_IF_ERROR(Await(fd, deadline));
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 && text.empty()) {
      return absl::AbortedError("ciped ended before it answered: see its log");
    }
    if (n <= 0) {
      return absl::DataLossError("ciped closed the connection before it answered: see its log");
    }
    const void* nul = memchr(buffer, 0, static_cast<size_t>(n));
    const char* end = nul == nullptr ? buffer + n : static_cast<const char*>(nul);
    text.append(buffer, static_cast<size_t>(end - buffer));
    if (nul != nullptr) return control::ParseReply(text);
  }
  return absl::DataLossError("the answer of ciped does not end");
}

absl::StatusOr<control::Json> EventReader::Next() {
  char octets[16384];
  while (true) {
    const size_t nul = buffer_.find('\0');
    if (nul != std::string::npos) {
      const control::Json event =
          control::Json::parse(buffer_.substr(0, nul), nullptr, /*allow_exceptions=*/false);
      buffer_.erase(0, nul + 1);
      if (!event.is_object()) return absl::DataLossError("ciped sent an event that makes no sense");
      return event;
    }
    const ssize_t n = recv(fd_, octets, sizeof octets, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::AbortedError("ciped closed the connection");
    buffer_.append(octets, static_cast<size_t>(n));
    if (buffer_.size() > control::kMaxReplySize) return absl::DataLossError("an event has no end");
  }
}

absl::StatusOr<control::Reply> Ask(const std::string& runtime_dir,
                                   const control::Request& request) {
  CIPE_ASSIGN_OR_RETURN(const UniqueFd fd, Connect(runtime_dir));
  return Call(fd.get(), request);
}

control::Request Expecting(const Options& options, control::Request request) {
  const bool path = options.first.find('/') != std::string::npos;
  if (options.config_dir_given || path) {
    request.config_dir = control::CanonicalDirectory(options.config_dir);
  }
  if (options.state_dir_given) request.state_dir = control::CanonicalDirectory(options.state_dir);
  return request;
}

int Complain(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "cipectl: %s\n", message.c_str());
  if (absl::IsUnavailable(status)) return control::kExitNotRunning;
  return absl::IsInvalidArgument(status) ? control::kExitUsage : control::kExitFailed;
}

int Complain(const control::Reply& reply, bool json) {
  if (json) std::printf("%s\n", control::SerializeReply(reply).c_str());
  std::fprintf(stderr, "cipectl: %s\n", reply.error.message.c_str());
  return reply.exit;
}

}  // namespace cipe::cipectl
