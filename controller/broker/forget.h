// `cipectl down` while no ciped runs: what the last one left for a tunnel goes.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace cipe::broker {

// Takes the reject routes and rules of `tunnel` out of the kernel, and the tunnel off the list of
// those that the next start brings up again; other tunnels stay as they are. NotFound: nothing was
// left for it. AlreadyExists: a ciped runs with that state directory, and has to be asked.
absl::Status ForgetTunnel(const std::string& state_dir, const std::string& tunnel);

}  // namespace cipe::broker
