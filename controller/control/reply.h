// A reply of the control socket: ok with a result, or an error. schema.h has the JSON.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cipe/control/schema.h"
#include "control/snapshot_json.h"

namespace cipe::control {

struct Error {
  std::string code = kErrorInternal;
  std::string message;
  int exit = kExitFailed;
};

// code: the snake_case name of the status code ("not_found", "failed_precondition", ...).
Error ErrorFromStatus(const absl::Status& status);

struct Reply {
  bool ok = true;
  int exit = kExitDone;
  Error error;            // when !ok
  Json result = nullptr;  // when ok
};

Reply OkReply(Json result, int exit = kExitDone);
Reply ErrorReply(Error error);
// Result of `up`: reason empty = everything as configured, else degraded (exit 4).
Reply UpReply(const std::string& tunnel, const std::string& degraded_reason);

std::string SerializeReply(const Reply& reply);  // without NUL
absl::StatusOr<Reply> ParseReply(absl::string_view text);

}  // namespace cipe::control
