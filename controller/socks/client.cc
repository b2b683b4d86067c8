#include "socks/client.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"

namespace cipe::socks {
namespace {

constexpr uint8_t kVersion = 5;
constexpr uint8_t kPasswordVersion = 1;  // RFC 1929
constexpr uint8_t kNoMethod = 0;
constexpr uint8_t kUserPassword = 2;
constexpr uint8_t kNoAcceptable = 0xff;
constexpr uint8_t kUdpAssociate = 3;
constexpr uint8_t kIpv4 = 1;
constexpr uint8_t kDomain = 3;
constexpr uint8_t kIpv6 = 4;
constexpr size_t kMaxInput = 4 + 1 + 255 + 2;  // the longest reply

SecretBytes Octets(std::initializer_list<uint8_t> octets) {
  return SecretBytes::FromSpan({octets.begin(), octets.size()});
}

}  // namespace

const char* ReplyName(uint8_t code) {
  static constexpr const char* kNames[] = {"succeeded",
                                           "general failure of the server",
                                           "not allowed by its ruleset",
                                           "network unreachable",
                                           "host unreachable",
                                           "connection refused",
                                           "TTL expired",
                                           "it does not know the command UDP ASSOCIATE",
                                           "address type not supported"};
  return code < std::size(kNames) ? kNames[code] : "a code of its own";
}

SecretBytes Client::TakeOutput() {
  if (state_ == State::kStart) {
    state_ = State::kMethod;
    return credentials_.user.empty() ? Octets({kVersion, 1, kNoMethod})
                                     : Octets({kVersion, 2, kNoMethod, kUserPassword});
  }
  return std::exchange(output_, SecretBytes());
}

void Client::Consume(size_t n) { input_.erase(0, n); }

// Our own address is left open (all zeros): behind NAT we do not know it.
void Client::AskForRelay() {
  output_ = Octets({kVersion, kUdpAssociate, 0, kIpv4, 0, 0, 0, 0, 0, 0});
  state_ = State::kReply;
}

absl::Status Client::Receive(absl::Span<const uint8_t> octets) {
  if (state_ == State::kDone || state_ == State::kFailed) return absl::OkStatus();
  while (!octets.empty() && !done()) {
    const size_t room = std::min(octets.size(), kMaxInput - input_.size());
    input_.append(reinterpret_cast<const char*>(octets.data()), room);
    octets.remove_prefix(room);
    bool more = true;
    while (more && !done()) {
      more = false;
      const absl::Status status = Step(&more);
      if (!status.ok()) {
        state_ = State::kFailed;
        return status;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Client::Step(bool* more) {
  const auto at = [this](size_t i) { return static_cast<uint8_t>(input_[i]); };
  switch (state_) {
    case State::kMethod: {
      if (input_.empty()) return absl::OkStatus();
      if (at(0) != kVersion) {
        return absl::InvalidArgumentError(
            absl::StrCat("it is no SOCKS5 server: its answer begins with ", at(0), ", not 5"));
      }
      if (input_.size() < 2) return absl::OkStatus();
      const uint8_t method = at(1);
      Consume(2);
      *more = true;
      return OnMethod(method);
    }
    case State::kPassword: {
      if (input_.size() < 2) return absl::OkStatus();
      const uint8_t status = at(1);
      Consume(2);
      if (status != 0) return absl::PermissionDeniedError("it refuses user and password");
      AskForRelay();
      *more = true;
      return absl::OkStatus();
    }
    case State::kReply:
      return OnReply(more);
    default:
      return absl::OkStatus();
  }
}

absl::Status Client::OnMethod(uint8_t method) {
  if (method == kNoMethod) {
    AskForRelay();
    return absl::OkStatus();
  }
  if (method == kNoAcceptable) {
    return absl::PermissionDeniedError(
        credentials_.user.empty() ? "it wants authentication: give socks-user and socks-password"
                                  : "it accepts neither no authentication nor user and password");
  }
  if (method != kUserPassword || credentials_.user.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it chose authentication method ", method, ", which was not offered"));
  }
  const auto password = credentials_.password.UnsafeBytes();
  const size_t user = credentials_.user.size();
  SecretBytes out(3 + user + password.size());
  uint8_t* p = out.UnsafeMutableBytes().data();
  *p++ = kPasswordVersion;
  *p++ = static_cast<uint8_t>(user);
  std::memcpy(p, credentials_.user.data(), user);
  p += user;
  *p++ = static_cast<uint8_t>(password.size());
  std::copy(password.begin(), password.end(), p);
  output_ = std::move(out);
  state_ = State::kPassword;
  return absl::OkStatus();
}

absl::Status Client::OnReply(bool*) {
  const auto* p = reinterpret_cast<const uint8_t*>(input_.data());
  if (input_.size() < 5) return absl::OkStatus();
  if (p[0] != kVersion) {
    return absl::InvalidArgumentError(absl::StrCat("its reply begins with ", p[0], ", not 5"));
  }
  if (p[1] != 0) {
    const std::string text = absl::StrCat("it refuses UDP ASSOCIATE: ", ReplyName(p[1]));
    return p[1] == 2 ? absl::PermissionDeniedError(text) : absl::UnavailableError(text);
  }
  const size_t size = p[3] == kIpv4     ? 4
                      : p[3] == kIpv6   ? 16
                      : p[3] == kDomain ? size_t{1} + p[4]
                                        : 0;
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat("its reply has address type ", p[3]));
  }
  if (input_.size() < 4 + size + 2) return absl::OkStatus();
  if (p[3] == kDomain) {
    return absl::InvalidArgumentError("it names its relay by a host name, expected an address");
  }
  relay_.address = p[3] == kIpv4 ? IpAddress::V4(p + 4) : IpAddress::V6(p + 4);
  relay_.port = LoadBe<uint16_t>(p + 4 + size);
  if (relay_.port == 0) return absl::InvalidArgumentError("its relay has port 0");
  Consume(4 + size + 2);
  state_ = State::kDone;
  return absl::OkStatus();
}

}  // namespace cipe::socks
