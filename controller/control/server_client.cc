#include "control/server_client.h"

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>

#include "cipe/control/schema.h"

namespace cipe::control {

ServerClient::ReadResult ServerClient::Receive() {
  char buffer[4096];
  while (input_.size() < kMaxRequestSize) {
    const size_t room = std::min(sizeof buffer, kMaxRequestSize - input_.size());
    const ssize_t n = recv(fd_.get(), buffer, room, MSG_DONTWAIT);
    if (n == 0) return ReadResult::kEndOfInput;
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? ReadResult::kMore : ReadResult::kFailed;
    }
    input_.append(buffer, static_cast<size_t>(n));
  }
  return ReadResult::kMore;
}

bool ServerClient::TakeRequest(std::string* request) {
  const size_t nul = input_.find('\0', scanned_);
  if (nul == std::string::npos) {
    scanned_ = input_.size();
    return false;
  }
  request->assign(input_, 0, nul);
  input_.erase(0, nul + 1);
  scanned_ = 0;
  return true;
}

bool ServerClient::overlong() const {
  return input_.size() >= kMaxRequestSize && scanned_ == input_.size();
}

void ServerClient::Queue(absl::string_view reply) {
  output_.append(reply.data(), reply.size());
  output_.push_back('\0');
}

bool ServerClient::Flush() {
  while (unsent() > 0) {
    const ssize_t n =
        send(fd_.get(), output_.data() + sent_, unsent(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN;
    }
    sent_ += static_cast<size_t>(n);
  }
  // Given back rather than kept: 64 idle clients must not hold 64 big replies.
  std::string().swap(output_);
  sent_ = 0;
  return true;
}

}  // namespace cipe::control
