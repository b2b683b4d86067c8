// For programs that cannot run where the kernel does not let us use BPF.
#pragma once

#include <string>

#include "steering/maps.h"
#include "tests/support/require.h"

namespace cipe::bpftest {

// A reason to skip only for a lack of permission; every other failure is for the tests.
inline std::string NeedsBpf() {
  const auto maps = steering::MapSet::Create();
  if (maps.ok() || !absl::IsPermissionDenied(maps.status())) return "";
  return std::string(maps.status().message());
}

inline const bool kNeedsBpf = test::Require(NeedsBpf);

}  // namespace cipe::bpftest
