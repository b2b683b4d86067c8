// What each option of a tunnel file means.
#include <algorithm>

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "config/file.h"
#include "config/keys.h"
#include "config/options.h"
#include "config/tunnel_parser.h"

namespace cipe::config {

absl::Status TunnelParser::OnlyOne(absl::string_view other, Place place) const {
  const auto it = seen_.find(other);
  if (it == seen_.end()) return absl::OkStatus();
  return Error(place, absl::StrCat("found a second key beside ", other, " of line ", it->second,
                                   ", expected only one of them"));
}

absl::StatusOr<SecretText> TunnelParser::KeyText(const Token& value, bool from_file) const {
  if (!from_file) return SecretText::Copy(value.text);
  auto text = read_key_file_(ResolveKeyPath(draft_.tunnel.path, value.text));
  if (text.ok()) return text;
  // The code stays (NotFound, PermissionDenied): callers tell these cases apart.
  return absl::Status(text.status().code(),
                      absl::StrCat(draft_.tunnel.path, ":", value.place.line, ":",
                                   value.place.column, ": ", text.status().message()));
}

template <typename K, typename ParseKey>
absl::Status TunnelParser::StoreKey(const Token& value, bool from_file, ParseKey parse,
                                    std::optional<K>* out) {
  CIPE_ASSIGN_OR_RETURN(const SecretText text, KeyText(value, from_file));
  auto key = parse(text.UnsafeView());
  if (key.ok()) {
    *out = *std::move(key);
    return absl::OkStatus();
  }
  const std::string where = from_file ? absl::StrCat("key file ", Quoted(value.text), ": ") : "";
  return Error(value.place, absl::StrCat(where, key.status().message()));
}

absl::Status TunnelParser::SharedKeyFrom(const Token& value, bool from_file) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PublicKey", value.place));
  CIPE_RETURN_IF_ERROR(OnlyOne(from_file ? "SharedKey" : "SharedKeyFile", value.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKey", value.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKeyFile", value.place));
  peer().auth = Auth::kSharedKey;
  places().key = value.place;
  return StoreKey(value, from_file, ParseSharedKey, &peer().shared_key);
}

absl::Status TunnelParser::Address(const Token& v) {
  for (const Token& item : SplitList(v)) {
    IpPrefix prefix;
    CIPE_RETURN_IF_ERROR(Store(item.place, ParsePrefix(item.text), &prefix));
    CIPE_RETURN_IF_ERROR(Located(item.place, CheckTunnelAddress(prefix.address)));
    for (const IpPrefix& other : draft_.tunnel.addresses) {
      if (other.address != prefix.address) continue;
      return Error(item.place, absl::StrCat("found Address ", prefix.address.ToString(),
                                            " again, expected each address once"));
    }
    draft_.tunnel.addresses.push_back(prefix);
  }
  return absl::OkStatus();
}

absl::Status TunnelParser::ListenPort(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 0, 65535), &draft_.tunnel.listen_port);
}

absl::Status TunnelParser::PrivateKey(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PrivateKeyFile", v.place));
  draft_.private_key = v.place;
  return StoreKey(v, false, ParseSecretKey, &draft_.tunnel.private_key);
}

absl::Status TunnelParser::PrivateKeyFile(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PrivateKey", v.place));
  draft_.private_key = v.place;
  return StoreKey(v, true, ParseSecretKey, &draft_.tunnel.private_key);
}

absl::Status TunnelParser::Protocol(const Token& v) {
  if (v.text == "3") {
    return Error(v.place,
                 "found 3, expected 5: protocol 3 has options files without sections "
                 "(docs/classic.md)");
  }
  if (v.text != "5") return Error(v.place, absl::StrCat("found ", Quoted(v.text), ", expected 5"));
  return absl::OkStatus();
}

absl::Status TunnelParser::DatapathOption(const Token& v) {
  return Store(v.place, ParseDatapath(v.text), &draft_.tunnel.datapath);
}

absl::Status TunnelParser::SuiteOption(const Token& v) {
  return Store(v.place, ParseSuite(v.text), &draft_.tunnel.suite);
}

absl::Status TunnelParser::Carrier(const Token& v) {
  const bool alone = seen_.at("Carrier") == v.place.line;
  if (alone && absl::EqualsIgnoreCase(v.text, "auto")) return absl::OkStatus();
  for (const Token& item : SplitList(v)) {
    CIPE_RETURN_IF_ERROR(Located(item.place, CheckInterfaceName(item.text)));
    for (const std::string& other : draft_.tunnel.carriers) {
      if (other == item.text) {
        return Error(item.place, absl::StrCat("found Carrier ", Quoted(item.text),
                                              " again, expected each carrier once"));
      }
    }
    draft_.tunnel.carriers.emplace_back(item.text);
  }
  return absl::OkStatus();
}

absl::Status TunnelParser::Lanes(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 1, 64), &draft_.tunnel.lanes);
}

absl::Status TunnelParser::Mtu(const Token& v) {
  draft_.mtu = v.place;
  return Store(v.place, ParseMtu(v.text), &draft_.tunnel.mtu);
}

absl::Status TunnelParser::Table(const Token& v) {
  return Store(v.place, ParseTable(v.text, &draft_.tunnel.table_number), &draft_.tunnel.table);
}

absl::Status TunnelParser::FwMark(const Token& v) {
  return Store(v.place, ParseFwMark(v.text), &draft_.tunnel.fwmark);
}

absl::Status TunnelParser::Rekey(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 15, 120), &draft_.tunnel.rekey_s);
}

absl::Status TunnelParser::Name(const Token& v) {
  places().name = v.place;
  return Store(v.place, ParsePeerName(v.text), &peer().name);
}

absl::Status TunnelParser::EndpointOption(const Token& v) {
  constexpr size_t kMaxEndpoints = 16;
  EndpointSpec endpoint;
  CIPE_RETURN_IF_ERROR(Store(v.place, ParseEndpoint(v.text), &endpoint));
  std::vector<EndpointSpec>& all = peer().endpoints;
  if (std::find(all.begin(), all.end(), endpoint) != all.end()) {
    return Error(v.place, absl::StrCat("found Endpoint ", endpoint.ToString(),
                                       " again, expected each endpoint once"));
  }
  if (all.size() == kMaxEndpoints) {
    return Error(v.place, absl::StrCat("found more than ", kMaxEndpoints, " endpoints"));
  }
  all.push_back(std::move(endpoint));
  return absl::OkStatus();
}

absl::Status TunnelParser::PublicKeyOption(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKeyFile", v.place));
  peer().auth = Auth::kPublicKey;
  places().key = v.place;
  return Store(v.place, ParsePublicKey(v.text), &peer().public_key);
}

absl::Status TunnelParser::PresharedKey(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKeyFile", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKeyFile", v.place));
  return StoreKey(v, false, ParseSecretKey, &peer().preshared_key);
}

absl::Status TunnelParser::PresharedKeyFile(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKeyFile", v.place));
  return StoreKey(v, true, ParseSecretKey, &peer().preshared_key);
}

absl::Status TunnelParser::AllowedIps(const Token& v) {
  for (const Token& item : SplitList(v)) {
    IpPrefix prefix;
    CIPE_RETURN_IF_ERROR(Store(item.place, ParsePrefix(item.text), &prefix));
    peer().allowed_ips.push_back(prefix.Masked());
    places().allowed_ips.push_back(item.place);
  }
  return absl::OkStatus();
}

absl::Status TunnelParser::PersistentKeepalive(const Token& v) {
  return Store(v.place, ParseKeepalive(v.text), &peer().persistent_keepalive_s);
}

absl::Status TunnelParser::Metric(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 0, 0xffffffff), &draft_.tunnel.metric);
}

absl::Status TunnelParser::RejectWhenDown(const Token& v) {
  return Store(v.place, ParseYesNo(v.text), &draft_.tunnel.reject_when_down);
}

absl::Status TunnelParser::MssClamp(const Token& v) {
  return Store(v.place, ParseYesNo(v.text), &draft_.tunnel.mss_clamp);
}

absl::Status TunnelParser::Dscp(const Token& v) {
  return Store(v.place, ParseDscp(v.text, &draft_.tunnel.dscp_value), &draft_.tunnel.dscp);
}

template <std::vector<std::string> Hooks::*kList>
absl::Status TunnelParser::Hook(const Token& v) {
  constexpr size_t kMaxCommands = 64;
  std::vector<std::string>& commands = draft_.tunnel.hooks.*kList;
  if (commands.size() == kMaxCommands) {
    return Error(v.place, absl::StrCat("found more than ", kMaxCommands, " commands"));
  }
  if (absl::StrContains(v.text, '\0')) {
    return Error(v.place, "found a zero octet, expected a command for /bin/sh");
  }
  commands.emplace_back(v.text);
  return absl::OkStatus();
}

absl::Status TunnelParser::Ping(const Token& v) {
  return Store(v.place, ParseKeepalive(v.text), &peer().ping_s);
}

absl::Status TunnelParser::PingTimeout(const Token& v) {
  return Store(v.place, ParseKeepalive(v.text), &peer().ping_timeout_s);
}

absl::Span<const TunnelParser::Option> TunnelParser::Options(Section section) {
  static constexpr Option kInterface[] = {
      {"Address", &TunnelParser::Address, Option::kRepeatable},
      {"ListenPort", &TunnelParser::ListenPort, Option::kOnce},
      {"PrivateKey", &TunnelParser::PrivateKey, Option::kOnce},
      {"PrivateKeyFile", &TunnelParser::PrivateKeyFile, Option::kOnce},
      {"Protocol", &TunnelParser::Protocol, Option::kOnce},
      {"Datapath", &TunnelParser::DatapathOption, Option::kOnce},
      {"Suite", &TunnelParser::SuiteOption, Option::kOnce},
      {"Carrier", &TunnelParser::Carrier, Option::kRepeatable},
      {"Lanes", &TunnelParser::Lanes, Option::kOnce},
      {"MTU", &TunnelParser::Mtu, Option::kOnce},
      {"Table", &TunnelParser::Table, Option::kOnce},
      {"FwMark", &TunnelParser::FwMark, Option::kOnce},
      {"Metric", &TunnelParser::Metric, Option::kOnce},
      {"RejectWhenDown", &TunnelParser::RejectWhenDown, Option::kOnce},
      {"MSSClamp", &TunnelParser::MssClamp, Option::kOnce},
      {"DSCP", &TunnelParser::Dscp, Option::kOnce},
      {"PreUp", &TunnelParser::Hook<&Hooks::pre_up>, Option::kCommand},
      {"PostUp", &TunnelParser::Hook<&Hooks::post_up>, Option::kCommand},
      {"PreDown", &TunnelParser::Hook<&Hooks::pre_down>, Option::kCommand},
      {"PostDown", &TunnelParser::Hook<&Hooks::post_down>, Option::kCommand},
      {"Rekey", &TunnelParser::Rekey, Option::kOnce},
  };
  static constexpr Option kPeer[] = {
      {"Name", &TunnelParser::Name, Option::kOnce},
      {"Endpoint", &TunnelParser::EndpointOption, Option::kRepeatable},
      {"PublicKey", &TunnelParser::PublicKeyOption, Option::kOnce},
      {"SharedKey", &TunnelParser::SharedKey, Option::kOnce},
      {"SharedKeyFile", &TunnelParser::SharedKeyFile, Option::kOnce},
      {"PresharedKey", &TunnelParser::PresharedKey, Option::kOnce},
      {"PresharedKeyFile", &TunnelParser::PresharedKeyFile, Option::kOnce},
      {"AllowedIPs", &TunnelParser::AllowedIps, Option::kRepeatable},
      {"PersistentKeepalive", &TunnelParser::PersistentKeepalive, Option::kOnce},
      {"Ping", &TunnelParser::Ping, Option::kOnce},
      {"PingTimeout", &TunnelParser::PingTimeout, Option::kOnce},
  };
  if (section == Section::kInterface) return kInterface;
  return kPeer;
}

}  // namespace cipe::config
