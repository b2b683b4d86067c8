// Which machine this is, as far as copies of an image can be told apart.
#pragma once

#include <cstddef>
#include <string>

namespace cipe::broker {

inline constexpr size_t kMachineDigits = 32;

// kMachineDigits hex digits that depend on the machine id (machine-id(5)) and do not reveal it;
// empty where there is none. Changes when an image is copied as its tools want it to be, which give
// the copy a machine id of its own.
std::string ThisMachine();

}  // namespace cipe::broker
