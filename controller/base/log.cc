#include "base/log.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace cipe {
namespace {

std::atomic<int> threshold{static_cast<int>(Severity::kInfo)};

// Never destroyed: threads may log while the process ends.
struct Taps {
  std::mutex mutex;
  std::map<std::string, UniqueFd> by_word;
  std::atomic<bool> any{false};
};
Taps& AllTaps() {
  static Taps* const taps = new Taps;
  return *taps;
}

// A character of netdev names: "cipcb1" must not be found in "cipcb10".
bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("_=+.-", c);
}

bool HasWord(absl::string_view line, absl::string_view word) {
  for (size_t at = line.find(word); at != line.npos; at = line.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !IsWordCharacter(line[at - 1]);
    if (begins && (end == line.size() || !IsWordCharacter(line[end]))) return true;
  }
  return false;
}

// Octets of the well-formed character of several octets that `text` begins with (RFC 3629); 0:
// there is none, or it is a control character (U+0080 to U+009F), which terminals obey.
size_t Utf8Size(absl::string_view text) {
  const auto octet = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = octet(0);
  const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (size == 0 || lead > 0xf4 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((octet(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && octet(1) < 0xa0) || (lead == 0xf0 && octet(1) < 0x90);
  const bool none = (lead == 0xed && octet(1) >= 0xa0) || (lead == 0xf4 && octet(1) >= 0x90);
  const bool control = lead == 0xc2 && octet(1) < 0xa0;
  return overlong || none || control ? 0 : size;
}

void WriteToTaps(absl::string_view line) {
  Taps& taps = AllTaps();
  if (!taps.any) return;
  const std::lock_guard lock(taps.mutex);
  for (const auto& [word, fd] : taps.by_word) {
    if (!HasWord(line, word)) continue;
    [[maybe_unused]] const ssize_t n = write(fd.get(), line.data(), line.size());
  }
}

}  // namespace

void SetLogThreshold(Severity least_severe) { threshold = static_cast<int>(least_severe); }

bool LogEnabled(Severity severity) { return static_cast<int>(severity) <= threshold.load(); }

void LogLine(Severity severity, absl::string_view text) {
  static const bool under_journal = getenv("JOURNAL_STREAM") != nullptr;
  std::string line;
  if (under_journal) absl::StrAppend(&line, "<", static_cast<int>(severity), ">");
  for (size_t i = 0; i < text.size(); ++i) {
    const auto u = static_cast<unsigned char>(text[i]);
    if (const size_t size = Utf8Size(text.substr(i)); size > 1) {
      line.append(text.data() + i, size);
      i += size - 1;
    } else if (u >= 0x20 && u < 0x7f) {
      line.push_back(text[i]);
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", u);
      line += escaped;
    }
  }
  line.push_back('\n');
  // One write(2), so that lines of the broker and the engine do not mix.
  [[maybe_unused]] const ssize_t n = write(STDERR_FILENO, line.data(), line.size());
  WriteToTaps(under_journal ? absl::string_view(line).substr(3) : line);
}

void AddLogTap(const std::string& word, UniqueFd fd) {
  Taps& taps = AllTaps();
  const std::lock_guard lock(taps.mutex);
  taps.by_word[word] = std::move(fd);
  taps.any = true;
}

void RemoveLogTap(const std::string& word) {
  Taps& taps = AllTaps();
  const std::lock_guard lock(taps.mutex);
  taps.by_word.erase(word);
  taps.any = !taps.by_word.empty();
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
