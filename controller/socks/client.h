// The client's half of SOCKS5 (RFC 1928) up to UDP ASSOCIATE, with user and password (RFC 1929)
// where given: octets in, octets out, no I/O. GSSAPI is not offered.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/ip_address.h"
#include "crypto/secret.h"

namespace cipe::socks {

struct Credentials {
  std::string user;      // empty: none are offered
  SecretBytes password;  // 1 to 255 octets where there is a user
};

class Client {
 public:
  // `credentials` must outlive the client.
  explicit Client(const Credentials& credentials) : credentials_(credentials) {}

  // What to send now, until the next Receive. The greeting at first; taken by the caller.
  SecretBytes TakeOutput();

  // Takes octets from the server as they come. An error ends the attempt and says why in words of
  // the RFC: PermissionDenied (method or password refused, not allowed by ruleset), Unavailable
  // (server's or network's trouble), InvalidArgument (not SOCKS5, or a reply we cannot use).
  absl::Status Receive(absl::Span<const uint8_t> octets);

  // The association stands: relay() is where datagrams go, IPv4 or IPv6. An unspecified address
  // means the server's own.
  bool done() const { return state_ == State::kDone; }
  const Endpoint& relay() const { return relay_; }

 private:
  enum class State { kStart, kMethod, kPassword, kReply, kDone, kFailed };
  absl::Status Step(bool* more);
  absl::Status OnMethod(uint8_t method);
  absl::Status OnReply(bool* more);
  void AskForRelay();
  void Consume(size_t n);

  const Credentials& credentials_;
  State state_ = State::kStart;
  SecretBytes output_;
  std::string input_;  // at most one reply, 262 octets
  Endpoint relay_;
};

// "host unreachable" for 4, as RFC 1928 section 6 names it.
const char* ReplyName(uint8_t code);

}  // namespace cipe::socks
