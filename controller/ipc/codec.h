// Messages to datagrams and back. What carries secrets (the configuration in TunnelAdd and
// TunnelChange) goes into a memfd of its own that the reader wipes; the datagram has everything
// else.
//
// Decoding is total: any octets and any descriptors give a message or InvalidArgument, nothing
// else. Descriptors that the message does not take are closed.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "ipc/messages.h"

namespace cipe::ipc {

// Longest datagram, and most descriptors with one: SCM_MAX_FD of the kernel (net/scm.h), one kept
// back for the memfd.
inline constexpr size_t kMaxDatagram = 65536;
inline constexpr size_t kMaxFds = 253;

// Most octets of a body: 65536 peers with a few AllowedIPs each stay far below.
inline constexpr size_t kMaxBody = size_t{64} << 20;

struct Encoded {
  std::string octets;    // never holds a secret
  std::vector<int> fds;  // borrowed from the message and from `body`
  UniqueFd body;         // memfd of a TunnelAdd or TunnelChange
};

// InvalidArgument when the message is too long or lends too many descriptors; ResourceExhausted
// when no memfd could be made. `message` must outlive the result.
absl::StatusOr<Encoded> EncodeMessage(Message& message);

// Takes the descriptors, whatever comes of it.
absl::StatusOr<Message> DecodeMessage(absl::Span<const uint8_t> octets, std::vector<UniqueFd> fds);

// A body, apart from its memfd: for fuzzing.
absl::Status DecodeTunnelBody(absl::Span<const uint8_t> octets, TunnelAdd* message);
absl::Status DecodeChangeBody(absl::Span<const uint8_t> octets, TunnelChange* message);

// A name for logs: "TunnelAdd".
const char* MessageName(const Message& message);

}  // namespace cipe::ipc
