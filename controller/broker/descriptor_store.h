// What ciped has to do with its service manager: the descriptor store (sd_notify(3), FDSTORE=1),
// which is the other way to the next ciped - systemd keeps what is stored across a restart of the
// unit and closes it after a plain stop - and questions over its bus.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "broker/handover.h"

namespace cipe::broker {

// Is there a service manager that keeps descriptors ($NOTIFY_SOCKET), and has it said how many?
// FailedPrecondition otherwise; Unavailable when it cannot be told.
absl::Status StoreHandover(const PackedHandover& packed);
struct Inherited {
  std::vector<UniqueFd> handover;  // what an earlier ciped stored, for Unpack; out of the store now
  UniqueFd listener;               // control socket of a socket unit (systemd.socket(5))
};
// Empty when there is nothing. Other descriptors are left as they are, also a socket that is not
// bound to `socket_path`. Once, before any thread.
Inherited TakeInherited(const std::string& socket_path);

// Whether systemd stops this unit to start it again: its job says so (org.freedesktop.systemd1).
// False when nobody can be asked.
bool RestartFollows();

// Sends `signal` to all processes of a unit. Unavailable when nobody can be asked.
absl::Status SignalUnit(const std::string& unit, int signal);

}  // namespace cipe::broker
