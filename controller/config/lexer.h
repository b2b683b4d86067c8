// Cuts a tunnel file into sections and assignments, with places for messages. Knows no option
// names.
#pragma once

#include "absl/strings/string_view.h"

namespace cipe::config {

// Line and column count from 1, columns in octets.
struct Place {
  int line = 0;
  int column = 0;
};

struct Token {
  absl::string_view text;  // white space around cut off
  Place place;
};

struct Line {
  enum class Kind {
    kSection,        // "[Peer]": name
    kBrokenSection,  // starts with '[' and is no section
    kAssignment,     // "name = value": both; the value may be empty
    kBare,           // anything else: name holds the whole line
  };
  Kind kind = Kind::kBare;
  Token name;
  Token value;
  Token raw_value;  // the same with what looks like a comment
};

class Lexer {
 public:
  // Points into `text`. A UTF-8 byte order mark and carriage returns before line ends are ignored.
  explicit Lexer(absl::string_view text);
  // The next line that holds something besides white space and comments; false at the end.
  bool Next(Line* line);

 private:
  absl::string_view rest_;
  int line_number_ = 0;
};

}  // namespace cipe::config
