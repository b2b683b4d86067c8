// Numbers of things in sentences: "1 change", "2 changes".
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cipe {

// `noun` is the singular of one whose plural ends in s.
inline std::string Counted(uint64_t number, absl::string_view noun) {
  return absl::StrCat(number, " ", noun, number == 1 ? "" : "s");
}

}  // namespace cipe
