#include "tools/cipectl/units.h"

#include <cstdio>

#include "absl/strings/str_cat.h"

namespace cipe::cipectl {

std::string HumanSize(uint64_t octets) {
  if (octets < 1024) return absl::StrCat(octets, " B");
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(octets) / 1024;
  size_t unit = 0;
  // 999.5 and up would print as a fourth digit.
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  char text[32];
  std::snprintf(text, sizeof text, "%.*f %s", decimals, value, kUnits[unit]);
  return text;
}

std::string HumanAge(int64_t seconds) {
  if (seconds <= 0) return "now";
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  constexpr Unit kUnits[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
  const auto part = [](int64_t count, const char* name) {
    return absl::StrCat(count, " ", name, count == 1 ? "" : "s");
  };
  for (size_t i = 0; i < std::size(kUnits); ++i) {
    if (seconds < kUnits[i].seconds) continue;
    std::string text = part(seconds / kUnits[i].seconds, kUnits[i].name);
    const int64_t rest = seconds % kUnits[i].seconds;
    if (i + 1 < std::size(kUnits) && rest >= kUnits[i + 1].seconds) {
      absl::StrAppend(&text, " ", part(rest / kUnits[i + 1].seconds, kUnits[i + 1].name));
    }
    return text;
  }
  return "now";
}

}  // namespace cipe::cipectl
