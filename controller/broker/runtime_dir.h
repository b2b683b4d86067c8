// RUNTIME_DIR: the lock that keeps a second ciped away, and the control socket.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace cipe::broker {

class RuntimeDir {
 public:
  // Makes the directory (0755) when it is missing and locks RUNTIME_DIR/ciped.pid, which holds our
  // process id from then on. AlreadyExists names the process that has it; the lock ends with the
  // process, however that ends.
  static absl::StatusOr<RuntimeDir> Lock(const std::string& path);
  RuntimeDir(RuntimeDir&&) = default;
  RuntimeDir& operator=(RuntimeDir&&) = default;
  ~RuntimeDir();  // removes socket and pid file

  // The listening socket ciped.sock, mode 0660, group "cipe" where that exists.
  absl::StatusOr<UniqueFd> Listen() const;

 private:
  RuntimeDir(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;
};

// mkdir -p, the last part with `mode`. Errors name the directory.
absl::Status MakeDirectory(const std::string& path, unsigned mode);

}  // namespace cipe::broker
