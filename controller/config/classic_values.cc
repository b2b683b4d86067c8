#include "config/classic_values.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "config/keys.h"
#include "config/parse_error.h"

namespace cipe::config {
namespace {

constexpr size_t kMaxText = 1024;

absl::Status Expected(absl::string_view found, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("found ", Quoted(found), ", expected ", expected));
}

bool IsNameCharacter(char c) {
  const auto u = static_cast<unsigned char>(c);
  return absl::ascii_isalnum(u) || c == '.' || c == '-' || c == '_';
}

bool AllDigits(absl::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "10.0.0.300" is a mistyped address and no host name.
bool IsName(absl::string_view text) {
  if (text.empty() || text.size() > 253 || text.front() == '-' || text.front() == '.') return false;
  if (!std::all_of(text.begin(), text.end(), IsNameCharacter)) return false;
  return !std::all_of(text.begin(), text.end(),
                      [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

absl::StatusOr<uint16_t> ParsePort(absl::string_view text, const NameLookup& lookup,
                                   const EndpointRules& rules) {
  int port = 0;
  if (AllDigits(text)) {
    const int least = rules.zero_port ? 0 : 1;
    if (text.size() > 5 || !absl::SimpleAtoi(text, &port) || port < least || port > 65535) {
      return Expected(text, absl::StrCat("a port from ", least, " to 65535"));
    }
    return static_cast<uint16_t>(port);
  }
  if (!IsName(text) || !lookup.service) return Expected(text, "a port number");
  return lookup.service(std::string(text), rules.protocol);
}

absl::StatusOr<IpAddress> LookUpHost(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (error != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot resolve ", host, ": ", gai_strerror(error)));
  }
  sockaddr_storage address{};
  std::memcpy(&address, list->ai_addr, std::min<size_t>(list->ai_addrlen, sizeof address));
  freeaddrinfo(list);
  return Endpoint::FromSockaddr(address).address;
}

absl::StatusOr<uint16_t> LookUpService(const std::string& service, const std::string& protocol) {
  servent entry{};
  servent* found = nullptr;
  char buffer[4096];
  getservbyname_r(service.c_str(), protocol.c_str(), &entry, buffer, sizeof buffer, &found);
  if (found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("found ", Quoted(service),
                                                   ", expected a port number or a ", protocol,
                                                   " service of /etc/services"));
  }
  return ntohs(static_cast<uint16_t>(found->s_port));
}

}  // namespace

NameLookup SystemNames() { return {LookUpHost, LookUpService}; }

absl::StatusOr<int> ParseInteger(absl::string_view text, int low, int high) {
  const absl::string_view digits = low < 0 ? absl::StripPrefix(text, "-") : text;
  int64_t value = 0;
  if (!AllDigits(digits) || digits.size() > 10 || !absl::SimpleAtoi(text, &value) || value < low ||
      value > high) {
    return Expected(text, absl::StrCat("a number from ", low, " to ", high));
  }
  return static_cast<int>(value);
}

absl::StatusOr<bool> ParseSwitch(absl::string_view text) {
  for (const char* word : {"", "1", "yes", "on", "true"}) {
    if (absl::EqualsIgnoreCase(text, word)) return true;
  }
  for (const char* word : {"0", "no", "off", "false"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  return Expected(text, "nothing, 1 or 0");
}

absl::StatusOr<IpAddress> ParseIpv4(absl::string_view text, const NameLookup& lookup) {
  if (IsName(text) && lookup.host) return lookup.host(std::string(text));
  // An embedded zero would end the C string that the address parser reads.
  const auto address = IpAddress::Parse(text);
  if (!address.ok() || !address->is_v4() || absl::StrContains(text, '\0')) {
    return Expected(text, "an IPv4 address (protocol 3 knows no other)");
  }
  return *address;
}

absl::StatusOr<EndpointSpec> ParseCarrier(absl::string_view text, const NameLookup& lookup,
                                          const EndpointRules& rules) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos && !rules.zero_port) {
    return Expected(text, "HOST:PORT");
  }
  const absl::string_view host = text.substr(0, colon);
  EndpointSpec spec;
  if (colon != absl::string_view::npos) {
    CIPE_ASSIGN_OR_RETURN(spec.port, ParsePort(text.substr(colon + 1), lookup, rules));
  }
  if (host.empty()) {
    if (!rules.zero_port || colon == absl::string_view::npos) return Expected(text, "HOST:PORT");
    spec.host = "0.0.0.0";
  } else if (rules.name_stays && IsName(host)) {
    spec.host = std::string(host);
  } else {
    CIPE_ASSIGN_OR_RETURN(const IpAddress address, ParseIpv4(host, lookup));
    spec.host = address.ToString();
  }
  return spec;
}

absl::StatusOr<Secret<16>> ParseClassicKey(absl::string_view text) {
  absl::string_view digits = text;
  if (absl::ConsumeSuffix(&digits, "-")) {
    const absl::string_view cut = absl::StripTrailingAsciiWhitespace(digits);
    digits = cut.size() < digits.size() ? cut : text;
  }
  Secret<16> key;
  if (!DecodeHex(digits, key.UnsafeMutableBytes())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "found ", digits.size(), " characters",
        digits.size() == 32 ? " that are no hex digits" : "",
        ", expected a key of 32 hex digits (128 bits), such as 'head -c 16 /dev/random | md5sum' "
        "prints"));
  }
  if (key == Secret<16>()) {
    return absl::InvalidArgumentError("found a key of nothing but zeros, expected a random one");
  }
  return key;
}

absl::StatusOr<std::string> ParseText(absl::string_view text) {
  const auto is_control = [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); };
  if (text.size() > kMaxText || std::any_of(text.begin(), text.end(), is_control)) {
    return Expected(text,
                    absl::StrCat("at most ", kMaxText, " characters and no control characters"));
  }
  return std::string(text);
}

absl::StatusOr<std::string> ParsePath(absl::string_view text) {
  if (!absl::StartsWith(text, "/")) return Expected(text, "an absolute path");
  return ParseText(text);
}

}  // namespace cipe::config
