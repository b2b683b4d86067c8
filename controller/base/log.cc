#include "base/log.h"

#include <unistd.h>

#include <cstdio>
#include <string>

namespace cipe {
namespace {

std::atomic<int> threshold{static_cast<int>(Severity::kInfo)};

}  // namespace

void SetLogThreshold(Severity least_severe) { threshold = static_cast<int>(least_severe); }

bool LogEnabled(Severity severity) { return static_cast<int>(severity) <= threshold.load(); }

void LogLine(Severity severity, absl::string_view text) {
  static const bool under_journal = getenv("JOURNAL_STREAM") != nullptr;
  std::string line;
  if (under_journal) absl::StrAppend(&line, "<", static_cast<int>(severity), ">");
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u != 0x7f) {
      line.push_back(c);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", u);
      line += escaped;
    }
  }
  line.push_back('\n');
  // One write(2), so that lines of the broker and the engine do not mix.
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line.data(), line.size());
}

bool LogLimiter::Allow(int64_t now_ns, uint64_t* suppressed) {
  const int64_t second = now_ns / 1'000'000'000;
  if (second_.exchange(second) != second) used_ = 0;
  if (used_.fetch_add(1) >= burst_) {
    ++suppressed_;
    return false;
  }
  *suppressed = suppressed_.exchange(0);
  return true;
}

}  // namespace cipe
