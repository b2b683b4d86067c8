// What the tests of protocol 3 share: the key and inputs of the worked vectors, and a generator
// that hands out what it was told.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/rng.h"
#include "classic/cipher.h"
#include "gtest/gtest.h"

namespace cipe::classic {

inline std::vector<uint8_t> FromHex(absl::string_view hex) {
  const std::string octets = absl::HexStringToBytes(hex);
  return {octets.begin(), octets.end()};
}

inline std::string ToHex(absl::Span<const uint8_t> octets) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

inline Key KeyFromHex(absl::string_view hex) { return Key::FromSpan(FromHex(hex)); }

inline Key StaticKey() { return KeyFromHex("101112131415161718191a1b1c1d1e1f"); }
inline Key DynamicKey() { return KeyFromHex("c0ffee00112233445566778899aabbcc"); }

class ScriptedRng final : public Rng {
 public:
  explicit ScriptedRng(std::vector<uint8_t> script) : script_(std::move(script)) {}
  void Fill(absl::Span<uint8_t> out) override {
    ASSERT_LE(at_ + out.size(), script_.size()) << "more randomness drawn than the script has";
    std::memcpy(out.data(), script_.data() + at_, out.size());
    at_ += out.size();
  }
  size_t left() const { return script_.size() - at_; }

 private:
  std::vector<uint8_t> script_;
  size_t at_ = 0;
};

// splitmix64; the same sequence in every run.
class CountingRng final : public Rng {
 public:
  explicit CountingRng(uint64_t seed) : state_(seed) {}
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& octet : out) {
      uint64_t z = state_ += 0x9e3779b97f4a7c15;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      octet = static_cast<uint8_t>(z ^ (z >> 31));
    }
  }

 private:
  uint64_t state_;
};

}  // namespace cipe::classic
