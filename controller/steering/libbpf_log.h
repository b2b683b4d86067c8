// libbpf's own words: to the debug log, and the end of them to whoever has to explain a failure.
#pragma once

#include <string>

namespace cipe::steering {

// While alive, collects what libbpf says on this thread; always forwards it to Log(kDebug).
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;
  // The last lines, at most about 600 characters.
  std::string Tail() const;

 private:
  std::string text_;
  friend void AppendLibbpfLine(const char* line);
};

}  // namespace cipe::steering
