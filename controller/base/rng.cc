#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cipe {
namespace {

template <typename T>
T Draw(Rng& rng) {
  uint8_t raw[sizeof(T)];
  rng.Fill(absl::MakeSpan(raw));
  T value;
  std::memcpy(&value, raw, sizeof value);
  return value;
}

}  // namespace

uint32_t Rng::U32() { return Draw<uint32_t>(*this); }
uint64_t Rng::U64() { return Draw<uint64_t>(*this); }

void SystemRng::Fill(absl::Span<uint8_t> out) {
  while (!out.empty()) {
    const ssize_t n = getrandom(out.data(), out.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      std::perror("getrandom");
      std::abort();
    }
    out.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace cipe
