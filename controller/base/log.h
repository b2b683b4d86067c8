// One line per event on standard error (journald reads the <N> priority prefix, sd-daemon(3)).
// Lines that a stranger's packet can cause go through LogLimited.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace cipe {

enum class Severity : int { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

void SetLogThreshold(Severity least_severe);
bool LogEnabled(Severity severity);
// Control characters in `text` are escaped; a line never contains a newline of its own.
void LogLine(Severity severity, absl::string_view text);

template <typename... Args>
void Log(Severity severity, const Args&... args) {
  if (LogEnabled(severity)) LogLine(severity, absl::StrCat(args...));
}

// From now on every line that has `word` as a word of its own also goes to `fd`, a descriptor that
// never blocks (lines that it does not take are lost). One tap per word; again replaces it.
void AddLogTap(const std::string& word, UniqueFd fd);
void RemoveLogTap(const std::string& word);

// At most `burst` lines per second; the next line through says how many were left out.
class LogLimiter {
 public:
  explicit LogLimiter(int burst) : burst_(burst) {}
  // `now_ns` is any monotonic time in nanoseconds. On true, *suppressed has the count left out
  // before.
  bool Allow(int64_t now_ns, uint64_t* suppressed);

 private:
  const int burst_;
  std::atomic<int64_t> second_{-1};
  std::atomic<int> used_{0};
  std::atomic<uint64_t> suppressed_{0};
};

}  // namespace cipe
