// One connection of the control socket: octets in, requests out, replies back. Knows nothing of
// verbs and permissions; ServerCore owns it and decides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace cipe::control {

class ServerClient {
 public:
  ServerClient(UniqueFd fd, bool may_change) : fd_(std::move(fd)), may_change_(may_change) {}

  int fd() const { return fd_.get(); }
  bool may_change() const { return may_change_; }

  enum class ReadResult { kMore, kEndOfInput, kFailed };
  // Takes what has arrived, never more than fits one request.
  ReadResult Receive();
  // The next whole request, without its NUL, in *request.
  bool TakeRequest(std::string* request);
  // More than a request may hold, and still no NUL.
  bool overlong() const;
  bool input_empty() const { return input_.empty(); }

  void Queue(absl::string_view reply);  // a NUL is added
  // Writes as much as the socket takes. False when the client cannot be written to any more.
  bool Flush();
  size_t unsent() const { return output_.size() - sent_; }

  bool pending = false;                     // a request is with the handler
  std::optional<std::string> subscription;  // a tunnel, or empty: of all
  bool end_of_input = false;                // the client has shut down its sending side
  bool closing = false;                     // close once everything is sent
  uint32_t events = EPOLLIN;                // what the loop watches for
  TimerId timer = TimerId::kNone;
  Instant active_at{};  // when the last progress was made

 private:
  UniqueFd fd_;
  const bool may_change_;
  std::string input_;
  size_t scanned_ = 0;  // octets of input_ known to hold no NUL
  std::string output_;
  size_t sent_ = 0;
};

}  // namespace cipe::control
