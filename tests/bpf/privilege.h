// Ends a test program with 77 ("skipped, because ...") where the kernel does not let us use BPF.
#pragma once

#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <string>

#include "steering/maps.h"

namespace cipe::bpftest {

class NeedsBpf : public testing::Environment {
 public:
  void SetUp() override {
    const auto maps = steering::MapSet::Create();
    if (maps.ok() || !absl::IsPermissionDenied(maps.status()))
      return;  // failures are for the tests
    printf("skipped, because %s\n", std::string(maps.status().message()).c_str());
    fflush(stdout);
    _exit(77);
  }
};

inline testing::Environment* const kNeedsBpf = testing::AddGlobalTestEnvironment(new NeedsBpf);

}  // namespace cipe::bpftest
