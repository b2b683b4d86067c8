// Options of the classic system from their sources: files of lines "name value" and words
// "name=value" of a command line, the later ones over the earlier ones. The HOWTO's order is
// CONFIG_DIR/options, then the file of -o, then the command line.
//
// Lines that are blank or begin with '#' are skipped; there is no quoting, no continuation and no
// comment behind a value. A name may come again, also within one source: the last one counts (the
// HOWTO appends its key to a sample file). Errors are InvalidArgument "FILE:LINE:COLUMN: found ...,
// expected ..."; none repeats a key or a password.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/classic.h"
#include "config/classic_values.h"
#include "config/lexer.h"
#include "config/model.h"
#include "config/secret_text.h"

namespace cipe::config {

class ClassicParser {
 public:
  // `cipher` holds unless an option says another one.
  ClassicParser(ClassicCipher cipher, NameLookup lookup);

  absl::Status AddFile(absl::string_view path, absl::string_view text);
  // The `number`th word of the command line, counted from 1. `key` and `socks-password` are
  // refused: every user of the host can read them there.
  absl::Status AddWord(int number, absl::string_view word);
  // Checks what spans options: those required, those that exclude each other. Ends the parser's
  // use.
  absl::StatusOr<ClassicOptions> Finish();
  // Whether there is an option of this name.
  static bool Knows(absl::string_view name);

 private:
  struct Option;
  static absl::Span<const Option> Options();
  absl::Status Apply(const Token& name, const Token& value, bool on_command_line);
  absl::Status Error(Place place, absl::string_view message) const;
  absl::Status CheckInnerAddresses() const;
  absl::Status Missing(absl::string_view name, absl::string_view what) const;

  NameLookup lookup_;
  ClassicOptions options_;
  std::string source_;                        // of what is read just now, for messages
  std::string last_source_;                   // where a missing option could have stood
  std::map<std::string, std::string> given_;  // option -> "FILE:LINE:COLUMN" of its last value
};

// True when `text` has no section and does not begin with an assignment: an options file rather
// than a tunnel file of protocol 5. An empty text is neither.
bool LooksClassic(absl::string_view text);

// One options file as it stands, or a merged one. `name` becomes the netdev's and the tunnel's
// name; a `device` that says otherwise is refused.
absl::StatusOr<Tunnel> ParseClassicTunnel(absl::string_view name, absl::string_view path,
                                          absl::string_view text);
// The tunnel of `options`, which Finish returned.
Tunnel ClassicTunnel(absl::string_view name, absl::string_view path, ClassicOptions options);

// As text that ParseClassicTunnel reads back, the key included: for a file of root's alone.
SecretText WriteClassicOptions(const ClassicOptions& options);

// Reads an options file. PermissionDenied, with the reason and the way out, unless `path` is
// absolute, the file belongs to root and is not readable for group or others, and every directory
// above it belongs to root and is not writable for them (the sticky bit excuses nothing).
absl::StatusOr<SecretText> ReadOptionsFile(const std::string& path);

}  // namespace cipe::config
