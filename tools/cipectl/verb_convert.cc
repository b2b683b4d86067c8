// cipectl convert FILE [NAME] [OPTION=VALUE]...: from a classic options file to tunnel files of
// protocol 5, on standard output.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/rng.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "config/classic_parser.h"
#include "control/request.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/convert.h"
#include "tools/cipectl/key_output.h"
#include "tools/cipectl/verbs.h"
#include "tools/classic/start_link.h"

namespace cipe::cipectl {
namespace {

// As `cipectl up FILE` and ciped-cb merge them: CONFIG_DIR/options, the file, the words.
absl::StatusOr<config::ClassicOptions> ReadOptions(const Options& options,
                                                   std::vector<std::string> words) {
  std::error_code error;
  classic_start::Request request;
  request.where = options;
  request.file = std::filesystem::absolute(options.first, error).lexically_normal();
  request.words = std::move(words);
  absl::StatusOr<config::ClassicOptions> merged = classic_start::MergeOptions(request);
  if (merged.ok() || !absl::StrContains(merged.status().message(), "found no ")) return merged;
  return absl::InvalidArgumentError(absl::StrCat(
      merged.status().message(),
      "; what stood on the command line of ciped-cb can be given here, too, as OPTION=VALUE, and a "
      "running tunnel has all of it in its RUNTIME_DIR/links/NAME.options"));
}

// What the new files do not say, one line each.
void SayDropped(const config::ClassicOptions& o) {
  const auto say = [](const char* what, const char* instead) {
    std::fprintf(stderr, "cipectl: left out: %s (%s)\n", what, instead);
  };
  if (o.socks.has_value()) {
    say("socks", "protocol 5 has no SOCKS: both ends must reach each other by UDP");
  }
  if (o.metric != 0) say("metric", "set the route yourself, with Table = off");
  if (o.cttl != 0) say("cttl", "carrier packets have the system's TTL");
  const config::ClassicOptions usual;
  if (!o.arg.empty() || o.ipup != usual.ipup || o.ipdown != usual.ipdown) {
    say("ipup, ipdown, arg", "no scripts are run: write their routes into AllowedIPs");
  } else if (access(o.ipup.c_str(), F_OK) == 0 || access(o.ipdown.c_str(), F_OK) == 0) {
    say("ip-up and ip-down", "no scripts are run: write their routes into AllowedIPs");
  }
  if (o.dynip) say("dynip", "the own address may always change");
  if (o.toping != 0 || o.maxerr != usual.maxerr) {
    say("toping, maxerr", "a tunnel never ends by itself");
  }
}

}  // namespace

int Convert(const Options& options) {
  std::vector<std::string> words = options.words;
  std::string name = "cipe";
  // NAME may be left out, and switches are bare words, too: an option's name is no tunnel's.
  if (!words.empty() && !absl::StrContains(words[0], '=') &&
      !config::ClassicParser::Knows(words[0])) {
    name = words[0];
    words.erase(words.begin());
  }
  if (!control::IsTunnelName(name)) {
    return Complain(absl::InvalidArgumentError("'" + name + "' is no tunnel name"));
  }
  const absl::StatusOr<config::ClassicOptions> classic = ReadOptions(options, std::move(words));
  if (!classic.ok()) return Complain(classic.status());
  SayDropped(*classic);
  SystemRng rng;
  const absl::StatusOr<Converted> converted = Convert(*classic, name, options.keys, rng);
  if (!converted.ok()) return Complain(converted.status());
  if (!options.keys && classic->key.has_value()) {
    std::fprintf(
        stderr,
        "cipectl: the key stays as it was. Whoever recorded protocol 3 and gets it still reads "
        "that;\ncipectl: --keys makes new key pairs, which also give forward secrecy.\n");
  }
  const int first = PrintSecretText(converted->here.UnsafeView());
  if (first != control::kExitDone) return first;
  return PrintSecretText(converted->there.UnsafeView());
}

}  // namespace cipe::cipectl
