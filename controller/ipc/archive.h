// Fields to octets and back, for messages between two processes of the same build. Writer and
// Reader have the same member functions, so one description of a message (a template over the
// archive) serves both ways and cannot disagree with itself. Little endian, lengths first.
//
// Reader never reads past its input and never allocates more than the input could fill; after the
// first error it yields zeros and ok() is false.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/types/span.h"
#include "base/bytes.h"
#include "base/unique_fd.h"

namespace cipe::ipc {

// Writes to `out` when it is not null; only counts otherwise. The caller counts first and then
// gives exactly that much room, so that secrets are never copied by a growing buffer.
// Descriptors are borrowed: the message keeps them.
class Writer {
 public:
  explicit Writer(uint8_t* out, std::vector<int>* fds = nullptr) : out_(out), fds_(fds) {}
  static constexpr bool kReading = false;

  size_t size() const { return size_; }
  bool ok() const { return true; }
  void Fail() {}

  template <typename T>
  void Number(T& v) {
    using U = std::make_unsigned_t<T>;
    uint8_t octets[sizeof(T)];
    StoreLe<U>(octets, static_cast<U>(v));
    Raw(octets, sizeof octets);
  }
  void Bool(bool& v) {
    uint8_t octet = v ? 1 : 0;
    Raw(&octet, 1);
  }
  template <typename E>
  void Enum(E& v, uint64_t, uint64_t) {
    uint8_t octet = static_cast<uint8_t>(v);
    Raw(&octet, 1);
  }
  void String(std::string& v) {
    Length(v.size());
    Raw(reinterpret_cast<const uint8_t*>(v.data()), v.size());
  }
  template <size_t N>
  void Octets(std::array<uint8_t, N>& v) {
    Raw(v.data(), N);
  }
  template <typename T, typename F>
  void List(std::vector<T>& v, size_t, F each) {
    Length(v.size());
    for (T& item : v) each(item);
  }
  void Fd(UniqueFd& fd) {
    bool there = fd.valid();
    Bool(there);
    if (there && fds_ != nullptr) fds_->push_back(fd.get());
  }
  void Raw(const uint8_t* data, size_t n) {
    if (out_ != nullptr && n > 0) std::memcpy(out_ + size_, data, n);
    size_ += n;
  }

 private:
  void Length(size_t n) {
    uint32_t length = static_cast<uint32_t>(n);
    Number(length);
  }

  uint8_t* const out_;
  std::vector<int>* const fds_;
  size_t size_ = 0;
};

// Reads from `in`; descriptors are taken out of `fds` in order.
class Reader {
 public:
  Reader(absl::Span<const uint8_t> in, std::vector<UniqueFd>* fds = nullptr) : in_(in), fds_(fds) {}
  static constexpr bool kReading = true;

  bool ok() const { return ok_; }
  void Fail() { ok_ = false; }
  // Everything was consumed, descriptors too.
  bool Finished() const {
    return ok_ && in_.empty() && (fds_ == nullptr || next_fd_ == fds_->size());
  }

  template <typename T>
  void Number(T& v) {
    using U = std::make_unsigned_t<T>;
    const uint8_t* p = Take(sizeof(T));
    v = p == nullptr ? T{0} : static_cast<T>(LoadLe<U>(p));
  }
  void Bool(bool& v) {
    uint8_t octet = 0;
    Number(octet);
    if (octet > 1) Fail();
    v = octet == 1;
  }
  template <typename E>
  void Enum(E& v, uint64_t least, uint64_t greatest) {
    uint8_t octet = 0;
    Number(octet);
    if (octet < least || octet > greatest) return Fail();
    v = static_cast<E>(octet);
  }
  void String(std::string& v) {
    const size_t n = Length();
    const uint8_t* p = Take(n);
    v.clear();
    if (p != nullptr) v.assign(reinterpret_cast<const char*>(p), n);
  }
  template <size_t N>
  void Octets(std::array<uint8_t, N>& v) {
    const uint8_t* p = Take(N);
    v = {};
    if (p != nullptr) std::memcpy(v.data(), p, N);
  }
  // Grows one by one: a length that the input does not back ends at the first missing octet.
  template <typename T, typename F>
  void List(std::vector<T>& v, size_t most, F each) {
    v.clear();
    const size_t n = Length();
    if (n > most) return Fail();
    for (size_t i = 0; i < n && ok_; ++i) {
      v.emplace_back();
      each(v.back());
    }
  }
  void Fd(UniqueFd& fd) {
    bool there = false;
    Bool(there);
    if (!there || !ok_) return;
    if (fds_ == nullptr || next_fd_ >= fds_->size()) return Fail();
    fd = std::move((*fds_)[next_fd_++]);
  }
  // Null when fewer than `n` octets are left. The memory belongs to the input.
  const uint8_t* Take(size_t n) {
    if (!ok_ || in_.size() < n) {
      ok_ = false;
      return nullptr;
    }
    const uint8_t* p = in_.data();
    in_.remove_prefix(n);
    return p;
  }

 private:
  size_t Length() {
    uint32_t length = 0;
    Number(length);
    return length;
  }

  absl::Span<const uint8_t> in_;
  std::vector<UniqueFd>* const fds_;
  size_t next_fd_ = 0;
  bool ok_ = true;
};

}  // namespace cipe::ipc
