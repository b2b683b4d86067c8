// Hex and repeatable randomness for the crypto tests.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_replace.h"
#include "base/rng.h"
#include "crypto/secret.h"

namespace cipe::testing {

using Octets = std::vector<uint8_t>;

// Spaces are for the reader.
inline Octets Hex(absl::string_view text) {
  const std::string raw = absl::HexStringToBytes(absl::StrReplaceAll(text, {{" ", ""}}));
  return Octets(raw.begin(), raw.end());
}

inline Octets Text(absl::string_view text) { return Octets(text.begin(), text.end()); }

inline std::string ToHex(absl::Span<const uint8_t> octets) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

template <size_t N>
std::array<uint8_t, N> HexArray(absl::string_view text) {
  const Octets octets = Hex(text);
  std::array<uint8_t, N> out{};
  if (octets.size() == N) std::copy(octets.begin(), octets.end(), out.begin());
  return out;
}

inline Secret<32> HexSecret(absl::string_view text) { return Secret<32>::FromSpan(Hex(text)); }

// The same octets in every run, so that a failure can be run again.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(uint64_t seed) : engine_(seed) {}
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& octet : out) octet = static_cast<uint8_t>(engine_());
  }
  Octets Draw(size_t size) {
    Octets out(size);
    Fill(absl::MakeSpan(out));
    return out;
  }
  size_t Below(size_t bound) { return engine_() % bound; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace cipe::testing
