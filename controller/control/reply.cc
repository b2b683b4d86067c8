#include "control/reply.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace cipe::control {
namespace {

std::string StringAt(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

int IntAt(const Json& object, const char* name, int otherwise) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_number_unsigned()) return otherwise;
  const uint64_t value = it->get<uint64_t>();
  return value <= 255 ? static_cast<int>(value) : otherwise;
}

}  // namespace

Error ErrorFromStatus(const absl::Status& status) {
  return Error{absl::AsciiStrToLower(absl::StatusCodeToString(status.code())),
               std::string(status.message()), kExitFailed};
}

Reply OkReply(Json result, int exit) {
  Reply reply;
  reply.exit = exit;
  reply.result = std::move(result);
  return reply;
}

Reply ErrorReply(Error error) {
  Reply reply;
  reply.ok = false;
  reply.exit = error.exit;
  reply.error = std::move(error);
  return reply;
}

Reply UpReply(const std::string& tunnel, const std::string& degraded_reason) {
  const bool degraded = !degraded_reason.empty();
  return OkReply(
      Json{{"tunnel", tunnel},
           {"state", TunnelStateName(degraded ? TunnelState::kDegraded : TunnelState::kUp)},
           {"reason", degraded ? Json(degraded_reason) : Json(nullptr)}},
      degraded ? kExitDegraded : kExitDone);
}

std::string SerializeReply(const Reply& reply) {
  Json error = nullptr;
  if (!reply.ok) {
    error = Json{
        {"code", reply.error.code}, {"message", reply.error.message}, {"exit", reply.error.exit}};
  }
  return Dump(Json{{"version", kSchemaVersion},
                   {"ok", reply.ok},
                   {"exit", reply.exit},
                   {"error", std::move(error)},
                   {"result", reply.ok ? reply.result : Json(nullptr)}});
}

absl::StatusOr<Reply> ParseReply(absl::string_view text) {
  Json document = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return absl::DataLossError("reply of ciped is not a JSON object");
  const auto ok = document.find("ok");
  if (ok == document.end() || !ok->is_boolean()) {
    return absl::DataLossError("reply of ciped has no \"ok\": is this the socket of ciped?");
  }
  Reply reply;
  reply.ok = ok->get<bool>();
  reply.exit = IntAt(document, "exit", reply.ok ? kExitDone : kExitFailed);
  if (reply.ok) {
    if (const auto result = document.find("result"); result != document.end()) {
      reply.result = std::move(*result);
    }
    return reply;
  }
  if (reply.exit == kExitDone) reply.exit = kExitFailed;
  if (const auto error = document.find("error"); error != document.end() && error->is_object()) {
    reply.error = Error{StringAt(*error, "code"), StringAt(*error, "message"), reply.exit};
  }
  return reply;
}

}  // namespace cipe::control
