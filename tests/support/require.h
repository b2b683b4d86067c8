// What a whole test program needs before its first case: privileges, a network namespace, BPF.
//
// A program whose cases were all skipped prints "skipped, because ..." and exits with 77 (see
// main.cc). Reasons start with "needs kernel: " or "needs hardware: " when neither a package nor
// root would help; all others count as failures where tests run as root under CI=true.
#pragma once

#include <string>

namespace cipe::test {

// Empty when all is well, else why no case of this program can run here.
using Requirement = std::string (*)();

// At namespace scope: `const bool kNeeds = cipe::test::Require(OwnNetworkNamespace);`. Each
// requirement is tried once, in the order of definition, before the first case; when one is not
// met, every case is skipped. Always true.
bool Require(Requirement requirement);

// Moves the process into a new network namespace with loopback up, so that nothing outside can be
// touched. Call it before there is any other thread. Ends the process when the namespace did not
// change although the kernel said so.
std::string OwnNetworkNamespace();

}  // namespace cipe::test
