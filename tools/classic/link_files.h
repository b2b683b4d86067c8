// RUNTIME_DIR/links: the options files of links that are up, and the lock under which free names
// are given out. Root's alone.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "config/classic.h"

namespace cipe::classic_start {

class LinkFiles {
 public:
  // Makes the directory (0700) where it is missing and takes the lock, which is held as long as the
  // object lives. DeadlineExceeded when somebody else keeps it for a minute.
  static absl::StatusOr<LinkFiles> Lock(const std::string& runtime_dir);

  // The first free name cipcb<n> or cipci<n>: no netdev has it and `taken` says no.
  absl::StatusOr<std::string> FreeName(config::ClassicCipher cipher,
                                       const std::function<bool(const std::string&)>& taken) const;
  // Replaces NAME.options, mode 0600.
  absl::Status Write(const std::string& name, const config::ClassicOptions& options) const;
  void Remove(const std::string& name) const;
  // A new FIFO NAME.log (0600) for the tunnel's log lines, open for reading.
  absl::StatusOr<UniqueFd> MakeLog(const std::string& name) const;

 private:
  LinkFiles(std::string dir, UniqueFd lock) : dir_(std::move(dir)), lock_(std::move(lock)) {}
  std::string Path(const std::string& name, absl::string_view suffix) const;

  std::string dir_;
  UniqueFd lock_;
};

}  // namespace cipe::classic_start
