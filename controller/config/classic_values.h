// Values of classic options, one function per type. Errors say what was found and what was
// expected; the parser puts the place in front.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ip_address.h"
#include "config/endpoint_spec.h"
#include "crypto/secret.h"

namespace cipe::config {

// How names become numbers. Null functions: only numbers are taken.
struct NameLookup {
  // The first IPv4 address of a host.
  std::function<absl::StatusOr<IpAddress>(const std::string& host)> host;
  // Port of a service, protocol "udp" or "tcp".
  std::function<absl::StatusOr<uint16_t>(const std::string& service, const std::string& protocol)>
      service;
};

// Asks getaddrinfo(3) and getservbyname(3): may take half a minute.
NameLookup SystemNames();

// A decimal number, with a minus sign where low < 0.
absl::StatusOr<int> ParseInteger(absl::string_view text, int low, int high);
// A boolean of the command line is its bare name: empty is true. Else 1 yes on true, 0 no off
// false.
absl::StatusOr<bool> ParseSwitch(absl::string_view text);
// Dotted quad, or a name with `lookup`.
absl::StatusOr<IpAddress> ParseIpv4(absl::string_view text, const NameLookup& lookup);

struct EndpointRules {
  const char* protocol;     // "udp" or "tcp": what a service's name means
  bool zero_port = false;   // port 0 is allowed, and so is leaving ":PORT" away
  bool name_stays = false;  // a host's name is kept for later instead of being looked up now
};
// "HOST:PORT", IPv4 only. An empty host means 0.0.0.0.
absl::StatusOr<EndpointSpec> ParseCarrier(absl::string_view text, const NameLookup& lookup,
                                          const EndpointRules& rules);

// 32 hex digits, first pair = octet 0; the " -" that md5sum(1) adds is cut off. No message repeats
// what it read.
absl::StatusOr<Secret<16>> ParseClassicKey(absl::string_view text);
// An absolute path without control characters.
absl::StatusOr<std::string> ParsePath(absl::string_view text);
// Any text without control characters, at most 1024 octets.
absl::StatusOr<std::string> ParseText(absl::string_view text);

}  // namespace cipe::config
