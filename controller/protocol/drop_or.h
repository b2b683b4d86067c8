// A value, or the named reason why what came from the network was dropped.
#pragma once

#include <optional>
#include <utility>

#include "cipe/abi/drop_reasons.h"

namespace cipe::protocol {

// Not an absl::Status: reasons are counted, not read, and a flood must not build strings.
template <typename T>
class [[nodiscard]] DropOr {
 public:
  DropOr(cipe_drop_reason reason) : reason_(reason) {}  // NOLINT: implicit like absl::StatusOr
  DropOr(T value) : value_(std::move(value)) {}         // NOLINT

  bool ok() const { return value_.has_value(); }
  // Meaningful only when !ok().
  cipe_drop_reason reason() const { return reason_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  cipe_drop_reason reason_{};
  std::optional<T> value_;
};

}  // namespace cipe::protocol
