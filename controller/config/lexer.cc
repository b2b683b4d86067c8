#include "config/lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace cipe::config {
namespace {

// `line` is the physical line that `part` lies in: gives the column.
Token Trimmed(absl::string_view line, absl::string_view part, int line_number) {
  const absl::string_view text = absl::StripAsciiWhitespace(part);
  const absl::string_view anchor = text.empty() ? part : text;
  return Token{text, {line_number, static_cast<int>(anchor.data() - line.data()) + 1}};
}

Line Classify(absl::string_view whole, absl::string_view content, int number) {
  Line out;
  const Token token = Trimmed(whole, content, number);
  if (absl::StartsWith(token.text, "[")) {
    const bool closed = token.text.size() > 2 && absl::EndsWith(token.text, "]");
    out.kind = closed ? Line::Kind::kSection : Line::Kind::kBrokenSection;
    out.name = closed ? Trimmed(whole, token.text.substr(1, token.text.size() - 2), number) : token;
    return out;
  }
  const size_t equals = content.find('=');
  if (equals == absl::string_view::npos) {
    out.name = token;
    return out;
  }
  out.kind = Line::Kind::kAssignment;
  out.name = Trimmed(whole, content.substr(0, equals), number);
  out.value = Trimmed(whole, content.substr(equals + 1), number);
  out.raw_value = Trimmed(whole, whole.substr(equals + 1), number);
  return out;
}

}  // namespace

Lexer::Lexer(absl::string_view text) : rest_(text) { absl::ConsumePrefix(&rest_, "\xef\xbb\xbf"); }

bool Lexer::Next(Line* line) {
  while (!rest_.empty()) {
    const absl::string_view whole = rest_.substr(0, rest_.find('\n'));
    rest_.remove_prefix(std::min(rest_.size(), whole.size() + 1));
    ++line_number_;
    const absl::string_view content = whole.substr(0, whole.find('#'));
    if (absl::StripAsciiWhitespace(content).empty()) continue;
    *line = Classify(whole, content, line_number_);
    return true;
  }
  return false;
}

}  // namespace cipe::config
