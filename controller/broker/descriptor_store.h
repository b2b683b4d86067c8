// systemd's descriptor store (sd_notify(3), FDSTORE=1): the other way to the next ciped. systemd
// keeps what is stored across a restart of the unit and closes it after a plain stop.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "broker/handover.h"

namespace cipe::broker {

// Is there a service manager that keeps descriptors ($NOTIFY_SOCKET), and has it said how many?
// FailedPrecondition otherwise; Unavailable when it cannot be told.
absl::Status StoreHandover(const PackedHandover& packed);
// What an earlier ciped stored, for Unpack, and out of the store again; empty when there is
// nothing. Other descriptors of socket activation are left as they are. Once, before any thread.
std::vector<UniqueFd> TakeStoredHandover();

// Whether systemd stops this unit to start it again: its job says so (org.freedesktop.systemd1).
// False when nobody can be asked.
bool RestartFollows();

}  // namespace cipe::broker
