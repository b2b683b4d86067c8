#include "config/parser.h"

#include "absl/strings/match.h"
#include "base/status_macros.h"
#include "config/classic_parser.h"
#include "config/tunnel_parser.h"

namespace cipe::config {

absl::StatusOr<Tunnel> TunnelParser::Run() {
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

absl::Status TunnelParser::CheckFirstLine() const {
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

absl::Status TunnelParser::EnterSection(const Line& line) {
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

absl::Status TunnelParser::LeaveSection() {
  if (section_ != Section::kPeer || places().key.line != 0) return absl::OkStatus();
  return Error(places().section,
               "found a peer without key, expected PublicKey, SharedKey or SharedKeyFile");
}

absl::Status TunnelParser::Assign(const Line& line) {
  for (const Option& option : Options(section_)) {
    if (!absl::EqualsIgnoreCase(option.name, line.name.text)) continue;
    const auto [it, is_new] = seen_.emplace(option.name, line.name.place.line);
    if (!is_new && option.kind == Option::kOnce) {
      return Error(line.name.place,
                   absl::StrCat("found ", option.name, " again (the first is in line ", it->second,
                                "), expected it once per section"));
    }
    const Token& value = option.kind == Option::kCommand ? line.raw_value : line.value;
    if (value.text.empty()) {
      return Error(value.place, absl::StrCat("found no value, expected one for ", option.name));
    }
    return (this->*option.apply)(value);
  }
  return UnknownOption(line.name);
}

absl::Status TunnelParser::UnknownOption(const Token& name) const {
  std::string all;
  for (const Option& option : Options(section_)) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", option.name);
  }
  return Error(name.place, absl::StrCat("found unknown option ", QuotedWord(name.text), " in ",
                                        section_ == Section::kInterface ? "[Interface]" : "[Peer]",
                                        ", expected one of ", all));
}

absl::StatusOr<Tunnel> ParseTunnel(absl::string_view name, absl::string_view path,
                                   absl::string_view text, const KeyFileReader& read_key_file) {
  CIPE_RETURN_IF_ERROR(CheckTunnelName(name));
  if (LooksClassic(text)) return ParseClassicTunnel(name, path, text);
  return TunnelParser(name, path, text, read_key_file).Run();
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
