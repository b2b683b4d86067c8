// Early return for absl::Status and absl::StatusOr.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define CIPE_RETURN_IF_ERROR(expr)                                                   \
  do {                                                                               \
    if (absl::Status cipe_status_ = (expr); !cipe_status_.ok()) return cipe_status_; \
  } while (false)

#define CIPE_CONCAT_INNER(a, b) a##b
#define CIPE_CONCAT(a, b) CIPE_CONCAT_INNER(a, b)

#define CIPE_ASSIGN_OR_RETURN(lhs, expr) \
  CIPE_ASSIGN_OR_RETURN_IMPL(CIPE_CONCAT(cipe_or_, __LINE__), lhs, expr)

#define CIPE_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  if (!tmp.ok()) return std::move(tmp).status();   \
  lhs = *std::move(tmp)
