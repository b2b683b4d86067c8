// From options files and a command line to a tunnel that is up.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "config/classic.h"
#include "tools/cipectl/verbs.h"

namespace cipe::classic_start {

struct Request {
  cipectl::Options where;  // the three directories
  config::ClassicCipher cipher = config::ClassicCipher::kBlowfish;
  std::string file;                // of -o; empty: none
  std::vector<std::string> words;  // name=value
};

struct Started {
  std::string name;    // of tunnel and netdev
  std::string reason;  // why it is degraded; empty when it is not
  bool started_daemon = false;
  UniqueFd log;  // with `debug`: the tunnel's log lines; ends when the tunnel does
};

// CONFIG_DIR/options where it exists, then -o FILE, then the words. Names of hosts are looked up
// here, but for the peer's and the SOCKS server's. Errors as config::ClassicParser and
// ReadOptionsFile.
absl::StatusOr<config::ClassicOptions> MergeOptions(const Request& request);

// Chooses the device, writes LINKS/NAME.options, starts ciped when none answers, asks for `up`.
// What was written goes again when that fails. AlreadyExists when the device is up already.
absl::StatusOr<Started> StartLink(const cipectl::Options& where, config::ClassicOptions options);

}  // namespace cipe::classic_start
