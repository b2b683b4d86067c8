// One end of the pair between broker and engine.
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "ipc/messages.h"

namespace cipe::ipc {

class Channel {
 public:
  explicit Channel(UniqueFd fd) : fd_(std::move(fd)) {}

  // A connected pair: first for the broker, second for the engine. Non-blocking, close-on-exec.
  static absl::StatusOr<std::pair<UniqueFd, UniqueFd>> Pair();

  int fd() const { return fd_.get(); }

  // Waits (bounded, poll) while the other end's queue is full. Unavailable when the other end has
  // gone.
  absl::Status Send(Message message);

  // NotFound "nothing there" when no message waits; Unavailable when the other end has gone;
  // InvalidArgument for what does not parse (the broker then ends the engine).
  absl::StatusOr<Message> Receive();

 private:
  UniqueFd fd_;
};

}  // namespace cipe::ipc
