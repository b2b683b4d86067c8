#include "config/classic_parser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "config/endpoint_address.h"
#include "config/options.h"
#include "config/parse_error.h"

namespace cipe::config {
namespace {

using Value = absl::string_view;
constexpr char kCommandLine[] = "command line";
constexpr int kMost = std::numeric_limits<int>::max();
constexpr int kDay = 86400;

template <typename T, typename V>
absl::Status Store(absl::StatusOr<V> value, T* out) {
  if (!value.ok()) return value.status();
  *out = *std::move(value);
  return absl::OkStatus();
}

template <int ClassicOptions::*kField, int kLow, int kHigh>
absl::Status Integer(ClassicOptions& o, const NameLookup&, Value v) {
  return Store(ParseInteger(v, kLow, kHigh), &(o.*kField));
}

template <bool ClassicOptions::*kField>
absl::Status Switch(ClassicOptions& o, const NameLookup&, Value v) {
  return Store(ParseSwitch(v), &(o.*kField));
}

template <IpAddress ClassicOptions::*kField>
absl::Status Address(ClassicOptions& o, const NameLookup& lookup, Value v) {
  return Store(ParseIpv4(v, lookup), &(o.*kField));
}

template <std::string ClassicOptions::*kField>
absl::Status Path(ClassicOptions& o, const NameLookup&, Value v) {
  return Store(ParsePath(v), &(o.*kField));
}

template <std::string ClassicOptions::*kField>
absl::Status Text(ClassicOptions& o, const NameLookup&, Value v) {
  return Store(ParseText(v), &(o.*kField));
}

absl::Status Key(ClassicOptions& o, const NameLookup&, Value v) {
  return Store(ParseClassicKey(v), &o.key);
}

absl::Status Me(ClassicOptions& o, const NameLookup& lookup, Value v) {
  return Store(ParseCarrier(v, lookup, {"udp", true, false}), &o.me);
}

absl::Status PeerOption(ClassicOptions& o, const NameLookup& lookup, Value v) {
  // Port 0 means a peer to be learned: nobody who names the address alone means that.
  if (!absl::StrContains(v, ':') && v != "0.0.0.0") {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", Quoted(v),
                     ", expected ADDRESS:PORT with the peer's port, or 0.0.0.0:0 to learn both"));
  }
  return Store(ParseCarrier(v, lookup, {"udp", true, true}), &o.peer);
}

absl::Status Socks(ClassicOptions& o, const NameLookup& lookup, Value v) {
  return Store(ParseCarrier(v, lookup, {"tcp", false, true}), &o.socks);
}

absl::Status SocksPassword(ClassicOptions& o, const NameLookup&, Value v) {
  // RFC 1929: one octet of length. The value is not repeated in the message.
  if (v.empty() || v.size() > 255) {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", v.size(), " characters, expected a password of 1 to 255"));
  }
  o.socks_password = SecretBytes::FromSpan({reinterpret_cast<const uint8_t*>(v.data()), v.size()});
  return absl::OkStatus();
}

absl::Status Device(ClassicOptions& o, const NameLookup&, Value v) {
  CIPE_RETURN_IF_ERROR(CheckInterfaceName(v));
  o.device = std::string(v);
  return absl::OkStatus();
}

absl::Status Cipher(ClassicOptions& o, const NameLookup&, Value v) {
  if (v != "blowfish" && v != "idea") {
    return absl::InvalidArgumentError(
        absl::StrCat("found ", Quoted(v), ", expected blowfish or idea"));
  }
  o.cipher = v == "idea" ? ClassicCipher::kIdea : ClassicCipher::kBlowfish;
  return absl::OkStatus();
}

absl::Status Order(ClassicOptions& o, const NameLookup&, Value v) {
  if (v != "le" && v != "be") {
    return absl::InvalidArgumentError(absl::StrCat("found ", Quoted(v), ", expected le or be"));
  }
  o.idea_order = v == "be" ? IdeaOrder::kBig : IdeaOrder::kLittle;
  return absl::OkStatus();
}

absl::Status DatapathChoice(ClassicOptions& o, const NameLookup&, Value v) {
  return Store(ParseDatapath(v), &o.datapath);
}

absl::Status Carrier(ClassicOptions& o, const NameLookup&, Value v) {
  CIPE_RETURN_IF_ERROR(CheckInterfaceName(v));
  o.carrier = std::string(v);
  return absl::OkStatus();
}

// Known from other versions: said by name, since "unknown" would leave people searching.
struct Elsewhere {
  absl::string_view name;
  absl::string_view why;
};
constexpr Elsewhere kElsewhere[] = {
    {"mask", "belongs to protocol 4, which is not offered"},
    {"bcast", "belongs to protocol 4, which is not offered"},
    {"hwaddr", "belongs to protocol 4, which is not offered"},
    {"ifconfig", "belongs to later versions; addresses are always set"},
    {"forcemulti", "belongs to later versions; multicast passes anyway"},
};

// "name value" with blanks between, or the bare name.
void SplitLine(absl::string_view line, int number, Token* name, Token* value) {
  const absl::string_view text = absl::StripAsciiWhitespace(line);
  const size_t end = std::min(text.size(), text.find_first_of(" \t\v\f\r"));
  const absl::string_view rest = absl::StripAsciiWhitespace(text.substr(end));
  const auto column = [&](absl::string_view part) {
    return static_cast<int>(part.data() - line.data()) + 1;
  };
  *name = {text.substr(0, end), {number, column(text)}};
  *value = {rest, {number, rest.empty() ? column(text) + static_cast<int>(end) : column(rest)}};
}

}  // namespace

struct ClassicParser::Option {
  absl::string_view name;
  absl::Status (*apply)(ClassicOptions&, const NameLookup&, Value);
  enum { kPlain, kBare, kEmpty, kSecret } kind = kPlain;  // may be bare; may be empty; file only
};

absl::Span<const ClassicParser::Option> ClassicParser::Options() {
  using O = ClassicOptions;
  static constexpr Option kOptions[] = {
      {"key", Key, Option::kSecret},
      {"nokey", Switch<&O::nokey>, Option::kBare},
      {"me", Me},
      {"peer", PeerOption},
      {"ipaddr", Address<&O::ipaddr>},
      {"ptpaddr", Address<&O::ptpaddr>},
      {"mtu", Integer<&O::mtu, 68, 65475>},
      {"cttl", Integer<&O::cttl, 0, 255>},
      {"metric", Integer<&O::metric, 0, kMost>},
      {"tokxc", Integer<&O::tokxc, 0, 600>},
      {"tokey", Integer<&O::tokey, 0, kDay>},
      {"tokxts", Integer<&O::tokxts, 0, kDay>},
      {"ping", Integer<&O::ping, 0, kDay>},
      {"toping", Integer<&O::toping, 0, kDay>},
      {"maxerr", Integer<&O::maxerr, -1, kMost>},
      {"ipup", Path<&O::ipup>},
      {"ipdown", Path<&O::ipdown>},
      {"arg", Text<&O::arg>, Option::kEmpty},
      {"socks", Socks},
      {"socks-user", Text<&O::socks_user>},
      {"socks-password", SocksPassword, Option::kSecret},
      {"device", Device},
      {"debug", Switch<&O::debug>, Option::kBare},
      {"dynip", Switch<&O::dynip>, Option::kBare},
      {"cipher", Cipher},
      {"idea-order", Order},
      {"udpsum", Switch<&O::udpsum>, Option::kBare},
      {"static-data", Switch<&O::static_data>, Option::kBare},
      {"roam-any", Switch<&O::roam_any>, Option::kBare},
      {"kill", Switch<&O::kill>, Option::kBare},
      {"datapath", DatapathChoice},
      {"carrier", Carrier},
  };
  return kOptions;
}

bool ClassicParser::Knows(absl::string_view name) {
  const auto options = Options();
  return std::any_of(options.begin(), options.end(),
                     [&](const Option& option) { return option.name == name; });
}

ClassicParser::ClassicParser(ClassicCipher cipher, NameLookup lookup) : lookup_(std::move(lookup)) {
  options_.cipher = cipher;
}

absl::Status ClassicParser::Error(Place place, absl::string_view message) const {
  return ErrorAt(source_, place, message);
}

absl::Status ClassicParser::AddFile(absl::string_view path, absl::string_view text) {
  source_ = last_source_ = std::string(path);
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  for (int number = 1; !text.empty(); ++number) {
    const absl::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const absl::string_view content = absl::StripLeadingAsciiWhitespace(line);
    if (content.empty() || content.front() == '#') continue;
    Token name, value;
    SplitLine(line, number, &name, &value);
    CIPE_RETURN_IF_ERROR(Apply(name, value, /*on_command_line=*/false));
  }
  return absl::OkStatus();
}

absl::Status ClassicParser::AddWord(int number, absl::string_view word) {
  source_ = last_source_ = kCommandLine;
  const size_t equals = word.find('=');
  const bool bare = equals == absl::string_view::npos;
  const Token name{word.substr(0, equals), {number, 1}};
  const size_t begin = bare ? word.size() : equals + 1;
  const Token value{absl::StripAsciiWhitespace(word.substr(begin)),
                    {number, static_cast<int>(begin) + 1}};
  return Apply(name, value, /*on_command_line=*/true);
}

absl::Status ClassicParser::Apply(const Token& name, const Token& value, bool on_command_line) {
  const Option* option = nullptr;
  for (const Option& o : Options()) {
    if (o.name == name.text) option = &o;
  }
  if (option == nullptr) {
    for (const Elsewhere& e : kElsewhere) {
      if (e.name == name.text) {
        return Error(name.place, absl::StrCat("found option '", e.name, "', which ", e.why));
      }
    }
    const bool assigned = !on_command_line && absl::StrContains(name.text, '=');
    return Error(name.place, absl::StrCat("found ", QuotedWord(name.text), ", expected ",
                                          assigned ? "'name value' without '='"
                                                   : "an option of docs/classic.md"));
  }
  if (option->kind == Option::kSecret && on_command_line) {
    return Error(name.place, absl::StrCat("found ", option->name,
                                          " on the command line, where every user of "
                                          "this host can read it; expected it in an options file"));
  }
  if (value.text.empty() && option->kind != Option::kBare && option->kind != Option::kEmpty) {
    return Error(value.place,
                 absl::StrCat("found ", option->name, " without a value, expected one"));
  }
  const absl::Status status = option->apply(options_, lookup_, value.text);
  if (!status.ok()) {
    const bool comment = option->kind != Option::kSecret && absl::StrContains(value.text, " #");
    return Error(value.place, absl::StrCat(status.message(),
                                           comment ? "; a comment needs a line of its own" : ""));
  }
  given_[std::string(option->name)] =
      absl::StrCat(source_, ":", name.place.line, ":", name.place.column);
  return absl::OkStatus();
}

absl::Status ClassicParser::Missing(absl::string_view name, absl::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(last_source_.empty() ? kCommandLine : last_source_.c_str(), ": found no ", name,
                   ", expected ", what));
}

// A netdev whose far end is the peer's carrier address would send the tunnel's packets into itself.
absl::Status ClassicParser::CheckInnerAddresses() const {
  const ClassicOptions& o = options_;
  const auto at = [&](const char* name, const IpAddress& address, absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat(given_.at(name), ": found ", address.ToString(), ", ", why));
  };
  if (o.ipaddr.is_unspecified()) {
    return at("ipaddr", o.ipaddr, "expected the address of this end's netdev");
  }
  for (const auto& [name, address] : {std::pair{"ipaddr", o.ipaddr}, {"ptpaddr", o.ptpaddr}}) {
    if (address == o.ptpaddr && o.LearnsPtpaddr()) continue;
    const std::string why = WhyNoInnerHost(address);
    if (!why.empty()) return at(name, address, absl::StrCat("which ", why));
  }
  if (o.ipaddr == o.ptpaddr) {
    return at("ptpaddr", o.ptpaddr, "the same address as ipaddr; expected the other end's");
  }
  const auto carries = [](const IpAddress& inner, const std::string& carrier) {
    const auto address = IpAddress::Parse(carrier);
    return address.ok() && *address == inner;
  };
  if (!o.LearnsPtpaddr() && carries(o.ptpaddr, o.peer.host)) {
    return at("ptpaddr", o.ptpaddr,
              "the peer's carrier address: the tunnel's own packets would be routed into it; "
              "expected the address of the other end's netdev");
  }
  if (carries(o.ipaddr, o.me.host)) {
    return at("ipaddr", o.ipaddr, "the carrier address of `me`; expected one of its own");
  }
  if (carries(o.ipaddr, o.peer.host)) {
    return at("ipaddr", o.ipaddr, "the peer's carrier address; expected the one of this netdev");
  }
  return absl::OkStatus();
}

absl::StatusOr<ClassicOptions> ClassicParser::Finish() {
  ClassicOptions& o = options_;
  const auto at = [&](const char* name, absl::string_view message) {
    return absl::InvalidArgumentError(absl::StrCat(given_.at(name), ": ", message));
  };
  if (!given_.contains("peer"))
    return Missing("peer", "peer ADDRESS:PORT, or 0.0.0.0:0 to learn it");
  if (!given_.contains("ipaddr")) return Missing("ipaddr", "the address of this end's netdev");
  if (!given_.contains("ptpaddr")) {
    return Missing("ptpaddr", "the address of the other end's netdev, or 0.0.0.0 to learn it");
  }
  CIPE_RETURN_IF_ERROR(CheckInnerAddresses());
  if (o.nokey && o.key.has_value()) {
    return at("nokey", absl::StrCat("found nokey beside key (", given_.at("key"),
                                    "), expected one of the two"));
  }
  if (!o.nokey && !o.key.has_value()) {
    return Missing("key", "key in an options file (or nokey for no encryption at all)");
  }
  if (o.socks.has_value() && o.LearnsPeer()) {
    return at("peer",
              "found a peer to be learned beside socks, expected its address: behind a "
              "SOCKS server nobody can be heard first");
  }
  if (!o.socks_user.empty() && o.socks_user.size() > 255) {
    return at("socks-user", "found more than 255 characters, expected 1 to 255 (RFC 1929)");
  }
  if (o.socks_user.empty() != !o.socks_password.has_value()) {
    const char* there = o.socks_user.empty() ? "socks-password" : "socks-user";
    return at(there, "found it alone, expected socks-user and socks-password together");
  }
  if (!o.socks_user.empty() && !o.socks.has_value()) {
    return at("socks-user", "found no socks server to give it to, expected socks HOST:PORT");
  }
  return std::move(options_);
}

bool LooksClassic(absl::string_view text) {
  Lexer lexer(text);
  Line line;
  bool first = true, classic = false;
  while (lexer.Next(&line)) {
    if (line.kind == Line::Kind::kSection || line.kind == Line::Kind::kBrokenSection) return false;
    if (first) classic = line.kind == Line::Kind::kBare;
    // "arg a=b" is an assignment only to the other grammar.
    if (first && !classic) classic = absl::StrContains(line.name.text, ' ');
    first = false;
  }
  return classic;
}

}  // namespace cipe::config
