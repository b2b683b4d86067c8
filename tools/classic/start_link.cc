#include "tools/classic/start_link.h"

#include <unistd.h>

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "config/classic_parser.h"
#include "config/file.h"
#include "control/reply.h"
#include "tools/cipectl/start.h"
#include "tools/classic/link_files.h"

namespace cipe::classic_start {
namespace {

std::string Absolute(const std::string& path) {
  std::error_code error;
  return std::filesystem::absolute(path, error).lexically_normal();
}

absl::Status AddFile(const std::string& path, config::ClassicParser* parser) {
  CIPE_ASSIGN_OR_RETURN(const config::SecretText text, config::ReadOptionsFile(path));
  return parser->AddFile(path, text.UnsafeView());
}

absl::Status FromReply(const control::Reply& reply) {
  if (reply.ok) return absl::OkStatus();
  return absl::InternalError(reply.error.message);
}

// Also makes sure that ciped runs, so that what it brings up by itself is there before a name is
// chosen.
absl::StatusOr<std::set<std::string>> TunnelsUp(const cipectl::Options& where, bool* started) {
  CIPE_ASSIGN_OR_RETURN(const control::Reply reply,
                        cipectl::AskOrStart(where,
                                            {.verb = control::Verb::kShow,
                                             .name = "",
                                             .wait = true,
                                             .object = control::Object::kTunnels},
                                            started));
  CIPE_RETURN_IF_ERROR(FromReply(reply));
  std::set<std::string> names;
  for (const auto& tunnel : reply.result.value("tunnels", control::Json::array())) {
    names.insert(tunnel.value("name", ""));
  }
  return names;
}

// `cipectl up NAME` must go on meaning the tunnel of that file, and not one of protocol 3.
absl::Status CheckNoTunnelFile(const cipectl::Options& where, const std::string& name) {
  const std::string path = absl::StrCat(Absolute(where.config_dir), "/", name, ".conf");
  const auto file = config::ReadFile(path, config::kMaxConfigFileSize);
  if (absl::IsNotFound(file.status())) return absl::OkStatus();
  if (file.ok() && config::LooksClassic(file->text.UnsafeView())) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat("device ", name, " is the name of the tunnel that ",
                                               path, " configures; choose another with device="));
}

absl::StatusOr<std::string> ChooseName(const cipectl::Options& where, const LinkFiles& files,
                                       const config::ClassicOptions& options,
                                       const std::set<std::string>& up) {
  if (!options.device.empty()) {
    if (!up.contains(options.device)) {
      CIPE_RETURN_IF_ERROR(CheckNoTunnelFile(where, options.device));
      return options.device;
    }
    return absl::AlreadyExistsError(absl::StrCat("device ", options.device,
                                                 " is up already; take it down with 'cipectl down ",
                                                 options.device, "', or choose another"));
  }
  // A tunnel file of that name would make `cipectl up NAME` mean two things.
  return files.FreeName(options.cipher, [&](const std::string& name) {
    std::error_code error;
    return up.contains(name) ||
           std::filesystem::exists(absl::StrCat(where.config_dir, "/", name, ".conf"), error);
  });
}

}  // namespace

absl::StatusOr<config::ClassicOptions> MergeOptions(const Request& request) {
  config::ClassicParser parser(request.cipher, config::SystemNames());
  const std::string defaults = Absolute(request.where.config_dir) + "/options";
  std::error_code error;
  // A link that leads nowhere is a mistake, and not the absence of a file.
  const auto there = std::filesystem::symlink_status(defaults, error);
  if (there.type() != std::filesystem::file_type::not_found)
    CIPE_RETURN_IF_ERROR(AddFile(defaults, &parser));
  if (!request.file.empty() && request.file != defaults) {
    CIPE_RETURN_IF_ERROR(AddFile(request.file, &parser));
  }
  int number = 0;
  for (const std::string& word : request.words) {
    CIPE_RETURN_IF_ERROR(parser.AddWord(++number, word));
  }
  return parser.Finish();
}

absl::StatusOr<Started> StartLink(const cipectl::Options& where, config::ClassicOptions options) {
  if (geteuid() != 0) {
    return absl::PermissionDeniedError(
        "only root may start a classic tunnel: it runs scripts as root");
  }
  Started out;
  CIPE_ASSIGN_OR_RETURN(const LinkFiles files, LinkFiles::Lock(where.runtime_dir));
  CIPE_ASSIGN_OR_RETURN(const std::set<std::string> up, TunnelsUp(where, &out.started_daemon));
  CIPE_ASSIGN_OR_RETURN(out.name, ChooseName(where, files, options, up));
  options.device = out.name;
  if (options.debug) {
    CIPE_ASSIGN_OR_RETURN(out.log, files.MakeLog(out.name));
  }
  CIPE_RETURN_IF_ERROR(files.Write(out.name, options));
  const absl::StatusOr<control::Reply> reply = cipectl::AskOrStart(
      where, {.verb = control::Verb::kUp, .name = out.name, .wait = false, .object = {}},
      &out.started_daemon);
  const absl::Status status = reply.ok() ? FromReply(*reply) : reply.status();
  if (!status.ok()) {
    files.Remove(out.name);
    return status;
  }
  if (reply->exit == control::kExitDegraded) {
    const auto it = reply->result.find("reason");
    out.reason = it != reply->result.end() && it->is_string() ? it->get<std::string>() : "";
  }
  return out;
}

}  // namespace cipe::classic_start
