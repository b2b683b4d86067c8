// Characters that may spell a secret (a config file, a key file, an encoded key): one buffer of a
// size fixed at birth, so that no reallocation leaves a copy behind; wiped on destruction and when
// moved from. Never printed: there is no operator<<.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/strings/string_view.h"
#include "crypto/secret.h"

namespace cipe::config {

class SecretText {
 public:
  SecretText() = default;
  explicit SecretText(size_t size) : data_(new char[size]()), capacity_(size), size_(size) {}
  static SecretText Copy(absl::string_view text) {
    SecretText t(text.size());
    text.copy(t.data_.get(), text.size());
    return t;
  }
  SecretText(SecretText&& other) noexcept { *this = std::move(other); }
  SecretText& operator=(SecretText&& other) noexcept {
    if (this == &other) return *this;
    Wipe();
    data_ = std::move(other.data_);
    capacity_ = std::exchange(other.capacity_, 0);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~SecretText() { Wipe(); }

  char* UnsafeMutableData() { return data_.get(); }
  // Valid as long as this object lives and is not moved from.
  absl::string_view UnsafeView() const { return absl::string_view(data_.get(), size_); }
  size_t size() const { return size_; }
  // Shortens; the octets cut off stay in the buffer and are wiped with it.
  void Truncate(size_t size) { size_ = size < size_ ? size : size_; }

 private:
  void Wipe() {
    if (data_) WipeMemory(data_.get(), capacity_);
    data_.reset();
    capacity_ = size_ = 0;
  }

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

}  // namespace cipe::config
