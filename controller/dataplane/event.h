// What workers tell the control thread. One bounded queue; a full queue drops and counts, so a
// flood of control frames costs memory once.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "session/peer_path.h"

namespace cipe::dataplane {

enum class EventType : uint8_t {
  kControlFrame,     // handshake or cookie frame: tunnel, path, data
  kHandshakeWanted,  // peer: packets wait; session: the one that may send no more, 0 = none
  kRekeyWanted,      // peer, session: packet limit near
  kConfirmed,        // peer, session, path: first authenticated frame under it
  kRoamed,           // peer, session, path: authenticated from somewhere else
  kControlTlv,       // peer, session, path, data: decrypted in-tunnel control
  // Protocol 3. `session` is the classic::Under of what came in.
  kClassicBlock,   // peer, session, path, data: exchange or control block
  kClassicReport,  // peer, data[0]: kReport*, path: of a packet without key, if that is why
  kClassicHeard,   // peer, session, path: data from somewhere else than the known path
  kClassicInner,   // peer, session, path, data: inner source address, 4 octets
  kClassicError,   // tunnel, path.remote, session: errno that the network gave for it
  kPathHint,       // tunnel, path.remote, session: MTU that the network says the way there has
};

inline constexpr size_t kMaxEventData = 512;
inline constexpr uint8_t kReportSendLimit = 1, kReportReceiveLimit = 2, kReportNoKey = 4,
                         kReportBadPackets = 8;

struct Event {
  EventType type{};
  uint32_t tunnel = 0;
  uint32_t peer = 0;
  uint32_t session = 0;  // local index
  session::Path path;
  uint16_t size = 0;
  uint16_t plaintext_size = 0;  // kControlTlv: octets that arrived; `data` holds the first of them
  std::array<uint8_t, kMaxEventData> data;
};

class EventQueue {
 public:
  // `wake` is written to (eventfd(2)) when the queue stops being empty; -1 for none.
  EventQueue(size_t capacity, int wake) : capacity_(capacity), wake_(wake) {}

  // False: the queue is full.
  bool Push(const Event& event);
  // Everything queued, oldest first; `out` is reused.
  void Take(std::vector<Event>* out);

 private:
  const size_t capacity_;
  const int wake_;
  std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace cipe::dataplane
