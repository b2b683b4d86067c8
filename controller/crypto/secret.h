// Octets that nobody may see: moved and never copied by accident, wiped when they die or move away,
// compared in constant time, not printable. Raw access only through the Unsafe* functions, so that
// every place that touches key octets can be found with grep.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace cipe {

// Zeroes `size` octets at `p` in a way that the compiler may not optimise away.
void WipeMemory(void* p, size_t size);

// Time depends on the sizes only. Spans of different size are not equal.
bool ConstantTimeEqual(absl::Span<const uint8_t> a, absl::Span<const uint8_t> b);

namespace internal {
[[noreturn]] void SecretSizeMismatch(size_t want, size_t got);
}  // namespace internal

template <size_t N>
class Secret {
 public:
  static constexpr size_t kSize = N;

  Secret() = default;  // all zero
  Secret(Secret&& other) noexcept : octets_(other.octets_) { other.Wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      octets_ = other.octets_;
      other.Wipe();
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { Wipe(); }

  // `octets` must have exactly N octets; anything else is a programming error and ends the process.
  // The caller still has to wipe the source.
  static Secret FromSpan(absl::Span<const uint8_t> octets) {
    if (octets.size() != N) internal::SecretSizeMismatch(N, octets.size());
    Secret s;
    for (size_t i = 0; i < N; ++i) s.octets_[i] = octets[i];
    return s;
  }

  Secret Clone() const { return FromSpan(octets_); }
  void Wipe() { WipeMemory(octets_.data(), N); }

  absl::Span<const uint8_t> UnsafeBytes() const { return octets_; }
  absl::Span<uint8_t> UnsafeMutableBytes() { return absl::MakeSpan(octets_); }

  friend bool operator==(const Secret& a, const Secret& b) {
    return ConstantTimeEqual(a.octets_, b.octets_);
  }

 private:
  std::array<uint8_t, N> octets_{};
};

// The same for sizes known at run time only. The size itself is no secret and never changes, so the
// octets are never left behind by a growing buffer.
class SecretBytes {
 public:
  SecretBytes() = default;  // empty
  explicit SecretBytes(size_t size) : octets_(size) {}
  SecretBytes(SecretBytes&& other) noexcept : octets_(std::move(other.octets_)) {
    other.octets_.clear();
  }
  SecretBytes& operator=(SecretBytes&& other) noexcept {
    if (this != &other) {
      Wipe();
      octets_ = std::move(other.octets_);
      other.octets_.clear();
    }
    return *this;
  }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() { Wipe(); }

  static SecretBytes FromSpan(absl::Span<const uint8_t> octets) {
    SecretBytes s;
    s.octets_.assign(octets.begin(), octets.end());
    return s;
  }

  SecretBytes Clone() const { return FromSpan(octets_); }
  void Wipe() { WipeMemory(octets_.data(), octets_.size()); }
  size_t size() const { return octets_.size(); }
  bool empty() const { return octets_.empty(); }

  absl::Span<const uint8_t> UnsafeBytes() const { return octets_; }
  absl::Span<uint8_t> UnsafeMutableBytes() { return absl::MakeSpan(octets_); }

  friend bool operator==(const SecretBytes& a, const SecretBytes& b) {
    return ConstantTimeEqual(a.octets_, b.octets_);
  }

 private:
  std::vector<uint8_t> octets_;
};

}  // namespace cipe
