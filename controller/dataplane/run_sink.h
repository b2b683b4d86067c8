// The carrier, as the transmit roads see it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "base/ip_address.h"
#include "packet/outer_fields.h"
#include "session/peer_path.h"

namespace cipe::dataplane {

enum class SendResult { kSent, kNoBuffer, kTooBig, kError };

class RunSink {
 public:
  virtual ~RunSink() = default;
  // Sends `total` octets as datagrams of `each` octets, the last possibly shorter.
  virtual SendResult SendRun(const session::Path& path, const packet::OuterFields& fields,
                             const uint8_t* data, size_t total, size_t each) = 0;
  // Most datagrams of `each` octets one SendRun takes.
  virtual size_t MaxRun(Family family, size_t each) const = 0;
  // Hands an IP packet to the inside, as if it had come out of the tunnel. Losing it is allowed.
  virtual void AnswerInside(absl::Span<const uint8_t> packet) = 0;
};

// Adds `packets` of `octets` inner octets to the peer's traffic or, by `result`, to its drops.
void CountSend(session::PeerPath& peer, SendResult result, uint64_t packets, uint64_t octets);

}  // namespace cipe::dataplane
