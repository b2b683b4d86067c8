// RUNTIME_DIR/handover.sock: where `ciped --replace` asks a running one for everything it has.
//
// One datagram each way says who asks and what becomes of it; descriptors follow in as many
// datagrams as they need. Whoever hands over goes on until the other has said that it has taken
// over: an upgrade that fails half way changes nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "broker/handover.h"

namespace cipe::broker {

// What the successor says of itself.
struct SuccessorHello {
  uint32_t version = kHandoverVersion;
  uint32_t abi = 0;  // CIPE_ABI_VERSION
  std::string config_dir, state_dir;
};

class HandoverDoor {
 public:
  // `asked` runs on the loop's thread with the connection; root (and whoever runs this process)
  // alone gets that far. `loop` must outlive the door.
  using Asked = std::function<void(const SuccessorHello&, UniqueFd client)>;
  static absl::StatusOr<std::unique_ptr<HandoverDoor>> Open(EventLoop& loop,
                                                            const std::string& runtime_dir,
                                                            Asked asked);
  ~HandoverDoor();  // its name goes, too
  HandoverDoor(const HandoverDoor&) = delete;
  HandoverDoor& operator=(const HandoverDoor&) = delete;

 private:
  HandoverDoor(EventLoop& loop, std::string path, UniqueFd listener, Asked asked)
      : loop_(loop),
        path_(std::move(path)),
        listener_(std::move(listener)),
        asked_(std::move(asked)) {}
  void OnAccept();
  void OnHello();
  void Hang();

  EventLoop& loop_;
  const std::string path_;
  UniqueFd listener_;
  const Asked asked_;
  UniqueFd client_;  // one at a time
  TimerId patience_ = TimerId::kNone;
};

// Of the one that hands over. `refusal` is told to the successor instead; with `stops` this daemon
// ends now and the successor starts clean.
void RefuseHandover(int client, absl::string_view refusal, bool stops = false);
// Blocks until the successor has taken over, at most 15 s. Errors: it did not, and everything is
// still ours.
absl::Status GiveHandover(int client, const PackedHandover& packed);

// Of the successor.
struct TakenHandover {
  std::vector<UniqueFd> fds;  // for Unpack
  UniqueFd giver;             // FinishHandover tells it
};
// Waits until the running ciped has let go, at most 15 s. NotFound: none runs on `runtime_dir`, or
// it ended over this. DeadlineExceeded with the way out: it hangs.
// FailedPrecondition with its words: it refuses, and goes on. Aborted with its words: it stops.
absl::StatusOr<TakenHandover> TakeHandover(const std::string& runtime_dir,
                                           const SuccessorHello& hello);
// From here on everything is ours.
absl::Status FinishHandover(int giver);

}  // namespace cipe::broker
