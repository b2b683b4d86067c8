#include "tools/cipectl/render_event.h"

#include <ctime>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace cipe::cipectl {
namespace {

std::string Text(const control::Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : control::Dump(value);
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
  }
  return text;
}

std::string Time(const control::Json& event) {
  const double seconds = event.value("time", 0.0);
  const auto whole = static_cast<time_t>(seconds);
  tm local{};
  char text[32];
  localtime_r(&whole, &local);
  strftime(text, sizeof text, "%F %T", &local);
  return text;
}

}  // namespace

std::string RenderEvent(const control::Json& event) {
  std::string line = Time(event);
  for (const char* who : {"tunnel", "peer"}) {
    if (!event.contains(who) || event[who].is_null()) continue;
    absl::StrAppend(&line, " ", who == std::string("peer") ? "peer " : "", Text(event[who]));
  }
  if (event.contains("event")) {
    absl::StrAppend(&line, ": ", absl::StrReplaceAll(Text(event["event"]), {{"_", " "}}));
  }
  for (const auto& [name, value] : event.items()) {
    if (name == "version" || name == "time" || name == "tunnel" || name == "peer" ||
        name == "event" || value.is_null() || value == "") {
      continue;
    }
    absl::StrAppend(&line, ", ", absl::StrReplaceAll(name, {{"_", " "}}), " ", Text(value));
  }
  return line;
}

}  // namespace cipe::cipectl
