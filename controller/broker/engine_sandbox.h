// What is left to a process that looks at strangers' packets: no file system, and only the system
// calls that the engine makes. Who takes it over can neither run a program, nor open a file, nor
// make a socket, a process or executable memory (docs/security.md).
//
// Two answers to a call that is not on the list. Those by which one gets out of here, and which no
// library makes by itself (execve, socket, ptrace and their like), end the process: it is not ours
// any more, the broker logs it and starts another one. All others fail with EPERM: a C library that
// tries to read a setting must not take every tunnel down.
#pragma once

#include "absl/status/status.h"

namespace cipe::broker {

// From now on "/" is an empty directory in which nobody, root included, can make anything. Needs
// CAP_SYS_CHROOT and /proc. Whoever keeps a descriptor of a directory outside can still get out.
absl::Status EnterEmptyRoot();

// False in a build with sanitizers, whose run time reads files and watches threads.
extern const bool kFiltersAll;

// For this thread, and all that it starts, for good. Needs no_new_privs. Without kFiltersAll
// only the calls that end the process are filtered.
absl::Status FilterSystemCalls();

}  // namespace cipe::broker
