#include "config/options.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/ip_address.h"
#include "base/status_macros.h"
#include "config/endpoint_address.h"
#include "config/parse_error.h"

namespace cipe::config {
namespace {

absl::Status Expected(absl::string_view found, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("found ", Quoted(found), ", expected ", expected));
}

bool AllOf(absl::string_view text, bool (*is)(char)) {
  return std::all_of(text.begin(), text.end(), is);
}

bool IsHostCharacter(char c) {
  const auto u = static_cast<unsigned char>(c);
  return absl::ascii_isalnum(u) || c == '.' || c == '-' || c == '_';
}

bool IsInterfaceCharacter(char c) {
  const auto u = static_cast<unsigned char>(c);
  return absl::ascii_isalnum(u) || absl::StrContains("_=+.-", c);
}

bool IsPeerNameCharacter(char c) {
  const auto u = static_cast<unsigned char>(c);
  return absl::ascii_isalnum(u) || absl::StrContains("._@+-", c);
}

// "10.0.0.300" is a mistyped address and no host name.
bool IsNumericHost(absl::string_view host) {
  return AllOf(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

bool IsHost(absl::string_view host) {
  if (host.empty() || host.size() > 253 || !AllOf(host, IsHostCharacter)) return false;
  if (host.front() == '-' || host.front() == '.') return false;
  return !IsNumericHost(host) || IpAddress::Parse(host).ok();
}

// Without brackets; a zone only makes sense on link-local addresses.
bool IsIpv6Host(absl::string_view host) {
  const size_t percent = host.find('%');
  const auto address = IpAddress::Parse(host.substr(0, percent));
  if (!address.ok() || !address->is_v6()) return false;
  if (percent == absl::string_view::npos) return true;
  return address->is_link_local() && CheckInterfaceName(host.substr(percent + 1)).ok();
}

}  // namespace

std::vector<Token> SplitList(const Token& value) {
  std::vector<Token> items;
  size_t begin = 0;
  while (true) {
    const size_t comma = value.text.find(',', begin);
    const absl::string_view raw = value.text.substr(begin, comma - begin);
    const absl::string_view item = absl::StripAsciiWhitespace(raw);
    const size_t offset =
        item.empty() ? begin : static_cast<size_t>(item.data() - value.text.data());
    items.push_back({item, {value.place.line, value.place.column + static_cast<int>(offset)}});
    if (comma == absl::string_view::npos) return items;
    begin = comma + 1;
  }
}

absl::StatusOr<uint32_t> ParseNumber(absl::string_view text, uint32_t low, uint32_t high) {
  const bool digits = !text.empty() && text.size() <= 10 &&
                      AllOf(text, [](char c) { return c >= '0' && c <= '9'; });
  uint64_t value = 0;
  if (!digits || !absl::SimpleAtoi(text, &value) || value < low || value > high) {
    return Expected(text, absl::StrCat("a number from ", low, " to ", high));
  }
  return static_cast<uint32_t>(value);
}

absl::StatusOr<uint32_t> ParseFwMark(absl::string_view text) {
  if (absl::EqualsIgnoreCase(text, "off")) return 0;
  uint32_t value = 0;
  if (absl::StartsWithIgnoreCase(text, "0x")) {
    const absl::string_view digits = text.substr(2);
    const bool hex = !digits.empty() && digits.size() <= 8 &&
                     AllOf(digits, [](char c) { return absl::ascii_isxdigit(c); });
    if (hex && absl::SimpleHexAtoi(digits, &value)) return value;
  } else if (auto number = ParseNumber(text, 0, 0xffffffff); number.ok()) {
    return number;
  }
  return Expected(text, "'off' or a mark from 0 to 0xffffffff");
}

absl::StatusOr<int> ParseMtu(absl::string_view text) {
  if (absl::EqualsIgnoreCase(text, "auto")) return 0;
  const auto number = ParseNumber(text, 576, 65535);
  if (!number.ok()) return Expected(text, "'auto' or a number from 576 to 65535");
  return static_cast<int>(*number);
}

absl::StatusOr<int> ParseKeepalive(absl::string_view text) {
  if (absl::EqualsIgnoreCase(text, "off")) return 0;
  const auto number = ParseNumber(text, 0, 65535);
  if (!number.ok()) return Expected(text, "'off' or seconds from 0 to 65535");
  return static_cast<int>(*number);
}

absl::StatusOr<Datapath> ParseDatapath(absl::string_view text) {
  for (Datapath d : {Datapath::kAuto, Datapath::kXdp, Datapath::kAfxdp, Datapath::kSocket}) {
    if (absl::EqualsIgnoreCase(text, DatapathName(d))) return d;
  }
  return Expected(text, "auto, xdp, afxdp or socket");
}

absl::StatusOr<Suite> ParseSuite(absl::string_view text) {
  for (Suite s : {Suite::kAesGcmSha256, Suite::kChaChaPolyBlake2s}) {
    if (absl::EqualsIgnoreCase(text, SuiteName(s))) return s;
  }
  return Expected(text, "aes256gcm or chacha20poly1305");
}

absl::StatusOr<TableChoice> ParseTable(absl::string_view text, uint32_t* number) {
  if (absl::EqualsIgnoreCase(text, "auto")) return TableChoice::kAuto;
  if (absl::EqualsIgnoreCase(text, "off")) return TableChoice::kOff;
  const auto value = ParseNumber(text, 1, 0xffffffff);
  if (!value.ok()) return Expected(text, "'auto', 'off' or a table number from 1 to 4294967295");
  *number = *value;
  return TableChoice::kNumber;
}

absl::StatusOr<bool> ParseYesNo(absl::string_view text) {
  if (absl::EqualsIgnoreCase(text, "yes")) return true;
  if (absl::EqualsIgnoreCase(text, "no")) return false;
  return Expected(text, "'yes' or 'no'");
}

absl::StatusOr<DscpChoice> ParseDscp(absl::string_view text, uint8_t* value) {
  if (absl::EqualsIgnoreCase(text, "none")) return DscpChoice::kNone;
  if (absl::EqualsIgnoreCase(text, "copy")) return DscpChoice::kCopy;
  const auto number = ParseNumber(text, 0, 63);
  if (!number.ok()) return Expected(text, "'none', 'copy' or a number from 0 to 63");
  *value = static_cast<uint8_t>(*number);
  return DscpChoice::kValue;
}

absl::StatusOr<EndpointSpec> ParseEndpoint(absl::string_view text) {
  constexpr absl::string_view kForm = "HOST:PORT or [IPV6]:PORT";
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Expected(text, kForm);
  absl::string_view host = text.substr(0, colon);
  const auto port = ParseNumber(text.substr(colon + 1), 1, 65535);
  if (!port.ok()) return Expected(text, absl::StrCat(kForm, " with a port from 1 to 65535"));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed ? !IsIpv6Host(host) : !IsHost(host)) return Expected(text, kForm);
  // "%eth0" is no part of the address.
  const auto address = IpAddress::Parse(host.substr(0, host.find('%')));
  if (address.ok()) {
    const std::string why = WhyNoHost(*address);
    if (!why.empty()) return Expected(text, absl::StrCat("a host's address: ", host, " ", why));
    if (address->is_v6() && address->is_link_local() && !absl::StrContains(host, '%')) {
      return Expected(text, absl::StrCat("a link-local address with its interface, such as [", host,
                                         "%eth0]:", *port));
    }
  }
  return EndpointSpec{std::string(host), static_cast<uint16_t>(*port)};
}

absl::StatusOr<IpPrefix> ParsePrefix(absl::string_view text) {
  // An embedded zero would end the C string that the address parser reads.
  auto prefix = IpPrefix::Parse(text);
  if (!prefix.ok() || absl::StrContains(text, '\0')) {
    return Expected(text, "an IPv4 or IPv6 address with prefix length, such as 10.9.0.0/24");
  }
  return prefix;
}

absl::Status CheckTunnelAddress(const IpAddress& address) {
  // Protocol 5 announces them: docs/protocol.md, section 2.6.
  if (WhyNoInnerHost(address).empty()) return absl::OkStatus();
  return Expected(
      address.ToString(),
      "a unicast address of a host (no multicast, loopback, unspecified or mapped one)");
}

absl::StatusOr<std::string> ParsePeerName(absl::string_view text) {
  if (text.empty() || text.size() > 63 || !AllOf(text, IsPeerNameCharacter)) {
    return Expected(text, "a name of 1 to 63 letters, digits and ._@+-");
  }
  return std::string(text);
}

absl::Status CheckInterfaceName(absl::string_view text) {
  const bool fits = !text.empty() && text.size() <= 15 && AllOf(text, IsInterfaceCharacter) &&
                    text.front() != '-' && text.front() != '.' && text != "all" &&
                    text != "default";
  if (fits) return absl::OkStatus();
  return Expected(text,
                  "an interface name: 1 to 15 letters, digits and _=+.-, not starting with - or ., "
                  "not 'all' or 'default'");
}

}  // namespace cipe::config
