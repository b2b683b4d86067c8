// cipectl up NAME: sets the tunnel up, starting ciped if need be.
#include <cstdio>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "config/classic_parser.h"
#include "config/file.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/start.h"
#include "tools/cipectl/tunnel_name.h"
#include "tools/cipectl/verbs.h"
#include "tools/classic/start_link.h"
#include "tools/classic/warning.h"

namespace cipe::cipectl {
namespace {

int Report(const control::Reply& reply, const std::string& name, bool json) {
  if (!reply.ok) return Complain(reply, json);
  if (json) {
    std::printf("%s\n", control::Dump(reply.result, 2).c_str());
  } else if (reply.exit != control::kExitDegraded) {
    std::printf("%s is up\n", name.c_str());
  }
  if (reply.exit == control::kExitDegraded) {
    std::string reason = "no reason given";
    if (const auto it = reply.result.find("reason"); it != reply.result.end() && it->is_string()) {
      reason = it->get<std::string>();
    }
    std::fprintf(stderr, "cipectl: %s is up but degraded: %s\n", name.c_str(), reason.c_str());
  }
  return reply.exit;
}

// An options file of protocol 3 anywhere: the road of ciped-cb and ciped-ci. A file that is none,
// or one of the config directory's tunnels, is left to the usual road.
bool IsClassicFile(const Options& options) {
  if (!absl::StrContains(options.first, '/')) return false;
  if (TunnelNameOf(options.first, options.config_dir).ok()) return false;
  const auto file = config::ReadFile(options.first, size_t{1} << 20);
  return file.ok() && config::LooksClassic(file->text.UnsafeView());
}

int UpClassic(const Options& options) {
  classic_start::Request request;
  request.where = options;
  std::error_code error;
  request.file = std::filesystem::absolute(options.first, error).lexically_normal();
  absl::StatusOr<config::ClassicOptions> merged = classic_start::MergeOptions(request);
  if (!merged.ok()) return Complain(merged.status());
  merged->debug = false;  // that is for ciped-cb: this command never stays
  classic_start::WarnInsecure("cipectl", *merged);
  const auto link = classic_start::StartLink(options, *std::move(merged));
  if (!link.ok()) return Complain(link.status());
  return Report(control::UpReply(link->name, link->reason), link->name, options.json);
}

}  // namespace

int Up(const Options& options) {
  if (IsClassicFile(options)) return UpClassic(options);
  const absl::StatusOr<std::string> name = TunnelNameOf(options.first, options.config_dir);
  if (!name.ok()) return Complain(name.status());
  control::Request request;
  request.verb = control::Verb::kUp;
  request.name = *name;
  request.wait = !options.no_wait;
  const auto reply = AskOrStart(options, Expecting(options, request));
  if (!reply.ok()) return Complain(reply.status());
  return Report(*reply, *name, options.json);
}

}  // namespace cipe::cipectl
