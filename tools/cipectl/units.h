// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace cipe::cipectl {

// "0 B", "999 B", "1.00 KiB", "12.3 MiB": three digits, powers of 1024.
std::string HumanSize(uint64_t octets);

// "now", "5 seconds", "1 minute 3 seconds", "2 hours 5 minutes", "3 days 1 hour": the two greatest
// units. Negative ages (the clock went back) are "now".
std::string HumanAge(int64_t seconds);

}  // namespace cipe::cipectl
