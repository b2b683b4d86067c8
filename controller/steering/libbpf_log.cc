#include "steering/libbpf_log.h"

#include <bpf/libbpf.h>
#include <stdio.h>

#include "absl/strings/ascii.h"
#include "base/log.h"

namespace cipe::steering {
namespace {

constexpr size_t kKeep = 600;
thread_local LibbpfLog* collector = nullptr;

}  // namespace

void AppendLibbpfLine(const char* line) {
  if (collector == nullptr) return;
  std::string& text = collector->text_;
  text += line;
  if (text.size() > 2 * kKeep) text.erase(0, text.size() - kKeep);
}

namespace {

__attribute__((format(printf, 2, 0))) int Print(enum libbpf_print_level, const char* format,
                                                va_list arguments) {
  char line[1024];
  const int length = vsnprintf(line, sizeof line, format, arguments);
  AppendLibbpfLine(line);
  Log(Severity::kDebug, absl::StripAsciiWhitespace(line));
  return length;
}

}  // namespace

LibbpfLog::LibbpfLog() {
  libbpf_set_print(Print);
  collector = this;
}

LibbpfLog::~LibbpfLog() { collector = nullptr; }

std::string LibbpfLog::Tail() const {
  const size_t start = text_.size() > kKeep ? text_.size() - kKeep : 0;
  return std::string(absl::StripAsciiWhitespace(absl::string_view(text_).substr(start)));
}

}  // namespace cipe::steering
