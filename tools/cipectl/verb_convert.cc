// cipectl convert FILE [NAME]: from a classic options file to tunnel files of protocol 5, on
// standard output.
#include <cstdio>
#include <filesystem>

#include "base/rng.h"
#include "base/status_macros.h"
#include "cipe/control/schema.h"
#include "config/classic_parser.h"
#include "control/request.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/convert.h"
#include "tools/cipectl/key_output.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

absl::StatusOr<config::ClassicOptions> ReadOptions(const std::string& argument) {
  std::error_code error;
  const std::string path = std::filesystem::absolute(argument, error).lexically_normal();
  CIPE_ASSIGN_OR_RETURN(const config::SecretText text, config::ReadOptionsFile(path));
  config::ClassicParser parser(config::ClassicCipher::kBlowfish, config::SystemNames());
  CIPE_RETURN_IF_ERROR(parser.AddFile(path, text.UnsafeView()));
  return parser.Finish();
}

}  // namespace

int Convert(const Options& options) {
  const std::string name = options.second.empty() ? "cipe" : options.second;
  if (!control::IsTunnelName(name)) {
    return Complain(absl::InvalidArgumentError("'" + name + "' is no tunnel name"));
  }
  const absl::StatusOr<config::ClassicOptions> classic = ReadOptions(options.first);
  if (!classic.ok()) return Complain(classic.status());
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
