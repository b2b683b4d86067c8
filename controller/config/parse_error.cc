#include "config/parse_error.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cipe::config {

absl::Status ErrorAt(absl::string_view path, Place place, absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ":", place.line, ":", place.column, ": ", message));
}

std::string Quoted(absl::string_view text) {
  constexpr size_t kMost = 60;
  return absl::StrCat("'", absl::CHexEscape(text.substr(0, kMost)),
                      text.size() > kMost ? "..." : "", "'");
}

std::string QuotedWord(absl::string_view text) {
  constexpr size_t kLongestName = 20;  // every option name fits; no encoded key does
  const auto is_name = [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; };
  const auto end = std::find_if_not(text.begin(), text.end(), is_name);
  const absl::string_view word = text.substr(0, static_cast<size_t>(end - text.begin()));
  const bool ends_well = end == text.end() || absl::ascii_isspace(*end);
  if (!word.empty() && word.size() <= kLongestName && ends_well)
    return absl::StrCat("'", word, "'");
  return absl::StrCat("a text of ", text.size(), " characters");
}

}  // namespace cipe::config
