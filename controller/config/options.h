// Values of options, one function per type. Errors say what was found and what was expected; the
// parser puts the place in front.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/lexer.h"
#include "config/model.h"

namespace cipe::config {

// Items between commas, each with its own place; empty items are kept for the caller to refuse.
std::vector<Token> SplitList(const Token& value);

// Decimal digits only, low <= number <= high.
absl::StatusOr<uint32_t> ParseNumber(absl::string_view text, uint32_t low, uint32_t high);
absl::StatusOr<uint32_t> ParseFwMark(absl::string_view text);  // "off", decimal, or hex with 0x
absl::StatusOr<int> ParseMtu(absl::string_view text);          // "auto" is 0
absl::StatusOr<int> ParseKeepalive(absl::string_view text);    // seconds, "off" is 0
absl::StatusOr<Datapath> ParseDatapath(absl::string_view text);
absl::StatusOr<Suite> ParseSuite(absl::string_view text);
absl::StatusOr<TableChoice> ParseTable(absl::string_view text, uint32_t* number);
absl::StatusOr<bool> ParseYesNo(absl::string_view text);
// RFC 2474: six bits.
absl::StatusOr<DscpChoice> ParseDscp(absl::string_view text, uint8_t* value);
absl::StatusOr<EndpointSpec> ParseEndpoint(absl::string_view text);
absl::StatusOr<IpPrefix> ParsePrefix(absl::string_view text);
// An address that a host can have in a tunnel: unicast, not 0/8, 127/8, 224/3, ::, ::1,
// ::ffff:0:0/96 or ff00::/8.
absl::Status CheckTunnelAddress(const IpAddress& address);
// A name of 1-63 characters: letters, digits and ._@+-
absl::StatusOr<std::string> ParsePeerName(absl::string_view text);
// A netdev's name: 1-15 letters, digits and _=+.-, not starting with '-' or '.', and not "all" or
// "default", which /proc/sys/net gives a meaning of its own.
absl::Status CheckInterfaceName(absl::string_view text);

}  // namespace cipe::config
