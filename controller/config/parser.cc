#include "config/parser.h"

#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "config/classic_parser.h"
#include "config/config.h"
#include "config/draft.h"
#include "config/file.h"
#include "config/keys.h"
#include "config/options.h"
#include "config/parse_error.h"

namespace cipe::config {
namespace {

enum class Section { kNone, kInterface, kPeer };

class Parser {
 public:
  Parser(absl::string_view name, absl::string_view path, absl::string_view text,
         const KeyFileReader& read_key_file)
      : text_(text), read_key_file_(read_key_file) {
    draft_.tunnel.name = std::string(name);
    draft_.tunnel.path = std::string(path);
  }
  absl::StatusOr<Tunnel> Run();

 private:
  struct Option {
    absl::string_view name;
    absl::Status (Parser::*apply)(const Token& value);
    bool repeatable;
  };
  static absl::Span<const Option> Options(Section section);

  absl::Status CheckFirstLine() const;
  absl::Status EnterSection(const Line& line);
  absl::Status LeaveSection();
  absl::Status Assign(const Line& line);
  absl::Status UnknownOption(const Token& name) const;
  absl::Status Error(Place place, absl::string_view message) const {
    return ErrorAt(draft_.tunnel.path, place, message);
  }
  absl::Status Located(Place place, const absl::Status& status) const {
    return status.ok() ? status : Error(place, status.message());
  }
  template <typename T, typename V>
  absl::Status Store(Place place, absl::StatusOr<V> value, T* out) const {
    if (!value.ok()) return Located(place, value.status());
    *out = static_cast<T>(*std::move(value));
    return absl::OkStatus();
  }
  // At most one of several options that mean the same thing.
  absl::Status OnlyOne(absl::string_view other, Place place) const;
  absl::StatusOr<SecretText> KeyText(const Token& value, bool from_file) const;
  template <typename K, typename ParseKey>
  absl::Status StoreKey(const Token& value, bool from_file, ParseKey parse, std::optional<K>* out);
  absl::Status SharedKeyFrom(const Token& value, bool from_file);

  absl::Status Address(const Token& v);
  absl::Status ListenPort(const Token& v);
  absl::Status PrivateKey(const Token& v);
  absl::Status PrivateKeyFile(const Token& v);
  absl::Status Protocol(const Token& v);
  absl::Status DatapathOption(const Token& v);
  absl::Status SuiteOption(const Token& v);
  absl::Status Carrier(const Token& v);
  absl::Status Lanes(const Token& v);
  absl::Status Mtu(const Token& v);
  absl::Status Table(const Token& v);
  absl::Status FwMark(const Token& v);
  absl::Status Rekey(const Token& v);

  absl::Status Name(const Token& v);
  absl::Status EndpointOption(const Token& v);
  absl::Status PublicKeyOption(const Token& v);
  absl::Status SharedKey(const Token& v) { return SharedKeyFrom(v, false); }
  absl::Status SharedKeyFile(const Token& v) { return SharedKeyFrom(v, true); }
  absl::Status PresharedKey(const Token& v);
  absl::Status PresharedKeyFile(const Token& v);
  absl::Status AllowedIps(const Token& v);
  absl::Status PersistentKeepalive(const Token& v);

  Peer& peer() { return draft_.tunnel.peers.back(); }
  PeerPlaces& places() { return draft_.peers.back(); }

  const absl::string_view text_;
  const KeyFileReader& read_key_file_;
  Draft draft_;
  Section section_ = Section::kNone;
  std::map<absl::string_view, int> seen_;  // options of this section -> line
};

absl::Span<const Parser::Option> Parser::Options(Section section) {
  static constexpr Option kInterface[] = {
      {"Address", &Parser::Address, true},
      {"ListenPort", &Parser::ListenPort, false},
      {"PrivateKey", &Parser::PrivateKey, false},
      {"PrivateKeyFile", &Parser::PrivateKeyFile, false},
      {"Protocol", &Parser::Protocol, false},
      {"Datapath", &Parser::DatapathOption, false},
      {"Suite", &Parser::SuiteOption, false},
      {"Carrier", &Parser::Carrier, true},
      {"Lanes", &Parser::Lanes, false},
      {"MTU", &Parser::Mtu, false},
      {"Table", &Parser::Table, false},
      {"FwMark", &Parser::FwMark, false},
      {"Rekey", &Parser::Rekey, false},
  };
  static constexpr Option kPeer[] = {
      {"Name", &Parser::Name, false},
      {"Endpoint", &Parser::EndpointOption, false},
      {"PublicKey", &Parser::PublicKeyOption, false},
      {"SharedKey", &Parser::SharedKey, false},
      {"SharedKeyFile", &Parser::SharedKeyFile, false},
      {"PresharedKey", &Parser::PresharedKey, false},
      {"PresharedKeyFile", &Parser::PresharedKeyFile, false},
      {"AllowedIPs", &Parser::AllowedIps, true},
      {"PersistentKeepalive", &Parser::PersistentKeepalive, false},
  };
  if (section == Section::kInterface) return kInterface;
  return kPeer;
}

absl::StatusOr<Tunnel> Parser::Run() {
  CIPE_RETURN_IF_ERROR(CheckFirstLine());
  Lexer lexer(text_);
  Line line;
  while (lexer.Next(&line)) {
    switch (line.kind) {
      case Line::Kind::kSection:
        CIPE_RETURN_IF_ERROR(LeaveSection());
        CIPE_RETURN_IF_ERROR(EnterSection(line));
        break;
      case Line::Kind::kAssignment:
        CIPE_RETURN_IF_ERROR(Assign(line));
        break;
      case Line::Kind::kBrokenSection:
        return Error(line.name.place,
                     "found '[' without a section, expected [Interface] or [Peer]");
      case Line::Kind::kBare:
        return Error(line.name.place, absl::StrCat("found ", QuotedWord(line.name.text),
                                                   " without '=', expected 'Option = value'"));
    }
  }
  CIPE_RETURN_IF_ERROR(LeaveSection());
  if (draft_.interface_section.line == 0) {
    return Error({1, 1}, "found no [Interface] section, expected exactly one");
  }
  CIPE_RETURN_IF_ERROR(FinishDraft(&draft_));
  return std::move(draft_.tunnel);
}

absl::Status Parser::CheckFirstLine() const {
  Lexer lexer(text_);
  Line first, line;
  if (!lexer.Next(&first)) return Error({1, 1}, "found an empty file, expected [Interface]");
  if (first.kind == Line::Kind::kSection || first.kind == Line::Kind::kBrokenSection) {
    return absl::OkStatus();
  }
  bool has_section = first.kind == Line::Kind::kAssignment;
  while (!has_section && lexer.Next(&line)) has_section = line.kind == Line::Kind::kSection;
  if (has_section) {
    return Error(first.name.place, absl::StrCat("found ", QuotedWord(first.name.text),
                                                " before any section, expected [Interface]"));
  }
  return Error(first.name.place,
               absl::StrCat("found ", QuotedWord(first.name.text), ", expected [Interface]"));
}

absl::Status Parser::EnterSection(const Line& line) {
  seen_.clear();
  if (absl::EqualsIgnoreCase(line.name.text, "Interface")) {
    if (draft_.interface_section.line != 0) {
      return Error(line.name.place,
                   absl::StrCat("found a second [Interface] (the first is in line ",
                                draft_.interface_section.line, "), expected one"));
    }
    section_ = Section::kInterface;
    draft_.interface_section = line.name.place;
    return absl::OkStatus();
  }
  if (!absl::EqualsIgnoreCase(line.name.text, "Peer")) {
    return Error(line.name.place, absl::StrCat("found section ", QuotedWord(line.name.text),
                                               ", expected [Interface] or [Peer]"));
  }
  section_ = Section::kPeer;
  draft_.tunnel.peers.emplace_back();
  draft_.peers.emplace_back().section = line.name.place;
  return absl::OkStatus();
}

absl::Status Parser::LeaveSection() {
  if (section_ != Section::kPeer || places().key.line != 0) return absl::OkStatus();
  return Error(places().section,
               "found a peer without key, expected PublicKey, SharedKey or SharedKeyFile");
}

absl::Status Parser::Assign(const Line& line) {
  for (const Option& option : Options(section_)) {
    if (!absl::EqualsIgnoreCase(option.name, line.name.text)) continue;
    const auto [it, is_new] = seen_.emplace(option.name, line.name.place.line);
    if (!is_new && !option.repeatable) {
      return Error(line.name.place,
                   absl::StrCat("found ", option.name, " again (the first is in line ", it->second,
                                "), expected it once per section"));
    }
    if (line.value.text.empty()) {
      return Error(line.value.place,
                   absl::StrCat("found no value, expected one for ", option.name));
    }
    return (this->*option.apply)(line.value);
  }
  return UnknownOption(line.name);
}

absl::Status Parser::UnknownOption(const Token& name) const {
  std::string all;
  for (const Option& option : Options(section_)) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", option.name);
  }
  return Error(name.place, absl::StrCat("found unknown option ", QuotedWord(name.text), " in ",
                                        section_ == Section::kInterface ? "[Interface]" : "[Peer]",
                                        ", expected one of ", all));
}

absl::Status Parser::OnlyOne(absl::string_view other, Place place) const {
  const auto it = seen_.find(other);
  if (it == seen_.end()) return absl::OkStatus();
  return Error(place, absl::StrCat("found a second key beside ", other, " of line ", it->second,
                                   ", expected only one of them"));
}

absl::StatusOr<SecretText> Parser::KeyText(const Token& value, bool from_file) const {
  if (!from_file) return SecretText::Copy(value.text);
  auto text = read_key_file_(ResolveKeyPath(draft_.tunnel.path, value.text));
  if (text.ok()) return text;
  // The code stays (NotFound, PermissionDenied): callers tell these cases apart.
  return absl::Status(text.status().code(),
                      absl::StrCat(draft_.tunnel.path, ":", value.place.line, ":",
                                   value.place.column, ": ", text.status().message()));
}

template <typename K, typename ParseKey>
absl::Status Parser::StoreKey(const Token& value, bool from_file, ParseKey parse,
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

absl::Status Parser::SharedKeyFrom(const Token& value, bool from_file) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PublicKey", value.place));
  CIPE_RETURN_IF_ERROR(OnlyOne(from_file ? "SharedKey" : "SharedKeyFile", value.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKey", value.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKeyFile", value.place));
  peer().auth = Auth::kSharedKey;
  places().key = value.place;
  return StoreKey(value, from_file, ParseSharedKey, &peer().shared_key);
}

absl::Status Parser::Address(const Token& v) {
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

absl::Status Parser::ListenPort(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 0, 65535), &draft_.tunnel.listen_port);
}

absl::Status Parser::PrivateKey(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PrivateKeyFile", v.place));
  draft_.private_key = v.place;
  return StoreKey(v, false, ParseSecretKey, &draft_.tunnel.private_key);
}

absl::Status Parser::PrivateKeyFile(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PrivateKey", v.place));
  draft_.private_key = v.place;
  return StoreKey(v, true, ParseSecretKey, &draft_.tunnel.private_key);
}

absl::Status Parser::Protocol(const Token& v) {
  if (v.text == "3") {
    return Error(v.place,
                 "found 3, expected 5: protocol 3 has options files without sections "
                 "(docs/classic.md)");
  }
  if (v.text != "5") return Error(v.place, absl::StrCat("found ", Quoted(v.text), ", expected 5"));
  return absl::OkStatus();
}

absl::Status Parser::DatapathOption(const Token& v) {
  return Store(v.place, ParseDatapath(v.text), &draft_.tunnel.datapath);
}

absl::Status Parser::SuiteOption(const Token& v) {
  return Store(v.place, ParseSuite(v.text), &draft_.tunnel.suite);
}

absl::Status Parser::Carrier(const Token& v) {
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

absl::Status Parser::Lanes(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 1, 64), &draft_.tunnel.lanes);
}

absl::Status Parser::Mtu(const Token& v) {
  draft_.mtu = v.place;
  return Store(v.place, ParseMtu(v.text), &draft_.tunnel.mtu);
}

absl::Status Parser::Table(const Token& v) {
  return Store(v.place, ParseTable(v.text, &draft_.tunnel.table_number), &draft_.tunnel.table);
}

absl::Status Parser::FwMark(const Token& v) {
  return Store(v.place, ParseFwMark(v.text), &draft_.tunnel.fwmark);
}

absl::Status Parser::Rekey(const Token& v) {
  return Store(v.place, ParseNumber(v.text, 15, 120), &draft_.tunnel.rekey_s);
}

absl::Status Parser::Name(const Token& v) {
  places().name = v.place;
  return Store(v.place, ParsePeerName(v.text), &peer().name);
}

absl::Status Parser::EndpointOption(const Token& v) {
  EndpointSpec endpoint;
  CIPE_RETURN_IF_ERROR(Store(v.place, ParseEndpoint(v.text), &endpoint));
  peer().endpoint = std::move(endpoint);
  return absl::OkStatus();
}

absl::Status Parser::PublicKeyOption(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKeyFile", v.place));
  peer().auth = Auth::kPublicKey;
  places().key = v.place;
  return Store(v.place, ParsePublicKey(v.text), &peer().public_key);
}

absl::Status Parser::PresharedKey(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKeyFile", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKeyFile", v.place));
  return StoreKey(v, false, ParseSecretKey, &peer().preshared_key);
}

absl::Status Parser::PresharedKeyFile(const Token& v) {
  CIPE_RETURN_IF_ERROR(OnlyOne("PresharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKey", v.place));
  CIPE_RETURN_IF_ERROR(OnlyOne("SharedKeyFile", v.place));
  return StoreKey(v, true, ParseSecretKey, &peer().preshared_key);
}

absl::Status Parser::AllowedIps(const Token& v) {
  for (const Token& item : SplitList(v)) {
    IpPrefix prefix;
    CIPE_RETURN_IF_ERROR(Store(item.place, ParsePrefix(item.text), &prefix));
    peer().allowed_ips.push_back(prefix.Masked());
    places().allowed_ips.push_back(item.place);
  }
  return absl::OkStatus();
}

absl::Status Parser::PersistentKeepalive(const Token& v) {
  return Store(v.place, ParseKeepalive(v.text), &peer().persistent_keepalive_s);
}

}  // namespace

absl::StatusOr<Tunnel> ParseTunnel(absl::string_view name, absl::string_view path,
                                   absl::string_view text, const KeyFileReader& read_key_file) {
  CIPE_RETURN_IF_ERROR(CheckTunnelName(name));
  if (LooksClassic(text)) return ParseClassicTunnel(name, path, text);
  return Parser(name, path, text, read_key_file).Run();
}

bool HasInlineSecrets(absl::string_view text) {
  Lexer lexer(text);
  Line line;
  while (lexer.Next(&line)) {
    // Prefixes, so that a slip such as "PrivateKey abc=" or "PrivateKeyy = abc" counts too; what
    // ends in "File" is only a name.
    const absl::string_view word = line.name.text.substr(0, line.name.text.find_first_of(" \t"));
    if (line.kind == Line::Kind::kAssignment && absl::EndsWithIgnoreCase(word, "File")) continue;
    for (absl::string_view secret : {"PrivateKey", "SharedKey", "PresharedKey", "key"}) {
      if (absl::StartsWithIgnoreCase(word, secret)) return true;
    }
  }
  return false;
}

}  // namespace cipe::config
