// ciped-cb and ciped-ci: the commands of the classic system, as its HOWTO has them. The name
// decides the cipher: ...-ci is IDEA, everything else Blowfish.
#include <cipe_version.h>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cipe/control/schema.h"
#include "tools/classic/start_link.h"
#include "tools/classic/warning.h"
#include "tools/classic/watch_log.h"

namespace cipe::classic_start {
namespace {

constexpr char kUsage[] =
    "usage: %s [-o FILE] [OPTION=VALUE | OPTION]...\n"
    "Starts a tunnel of protocol 3 and returns to the shell; with `debug` it stays and shows the "
    "log.\n"
    "Options come from CONFIG_DIR/options, then from the file of -o, then from the command line;\n"
    "docs/classic.md explains them. `cipectl show` shows the tunnel, `cipectl down NAME` ends it.\n"
    "  -o FILE            options file: absolute path, root's alone\n"
    "  --config-dir DIR   instead of /etc/cipe\n"
    "  --runtime-dir DIR  instead of /run/cipe (or CIPE_RUNTIME_DIR)\n"
    "  --state-dir DIR    instead of /var/lib/cipe\n"
    "  --help, --version\n";

struct Arguments {
  Request request;
  bool help = false;
  bool version = false;
  std::string error;
};

// Both "--name VALUE" and "--name=VALUE". True when `word` is that option.
bool Takes(const char* name, const std::vector<std::string>& words, size_t* i, std::string* value,
           std::string* error) {
  const std::string& word = words[*i];
  const std::string assigned = absl::StrCat(name, "=");
  if (absl::StartsWith(word, assigned)) {
    *value = word.substr(assigned.size());
    return true;
  }
  if (word != name) return false;
  if (*i + 1 == words.size()) {
    *error = absl::StrCat(name, " needs a value");
  } else {
    *value = words[++*i];
  }
  return true;
}

Arguments Parse(const std::string& program, const std::vector<std::string>& words) {
  Arguments a;
  cipectl::Options& where = a.request.where;
  where.config_dir = control::kDefaultConfigDir;
  const char* runtime_dir = getenv(control::kRuntimeDirEnvironment);
  where.runtime_dir =
      runtime_dir != nullptr && *runtime_dir != '\0' ? runtime_dir : control::kDefaultRuntimeDir;
  where.state_dir = control::kDefaultStateDir;
  if (absl::EndsWith(program, "ci")) a.request.cipher = config::ClassicCipher::kIdea;
  std::string file;
  for (size_t i = 0; i < words.size() && a.error.empty(); ++i) {
    const std::string& word = words[i];
    if (word == "-h" || word == "--help") {
      a.help = true;
    } else if (word == "--version") {
      a.version = true;
    } else if (Takes("-o", words, &i, &file, &a.error)) {
      if (a.error.empty() && file.empty()) a.error = "-o needs the name of a file";
      if (!a.request.file.empty()) a.error = "found -o twice, expected one options file";
      a.request.file = file;
    } else if (Takes("--config-dir", words, &i, &where.config_dir, &a.error) ||
               Takes("--runtime-dir", words, &i, &where.runtime_dir, &a.error) ||
               Takes("--state-dir", words, &i, &where.state_dir, &a.error)) {
      continue;
    } else if (word == "-i" || word == "-s") {
      a.error = absl::StrCat(word, " (a socket from the parent) is not offered: ciped opens it");
    } else if (absl::StartsWith(word, "-")) {
      a.error = absl::StrCat("unknown option ", word.substr(0, 40), "; --help lists them");
    } else {
      a.request.words.push_back(word);
    }
  }
  return a;
}

int Fail(const char* program, const absl::Status& status, int code) {
  std::fprintf(stderr, "%s: %s\n", program, std::string(status.message()).c_str());
  return code;
}

int Main(int argc, char** argv) {
  const std::string path = argc > 0 ? argv[0] : "ciped-cb";
  const std::string name = path.substr(path.rfind('/') + 1);
  const char* program = name.c_str();
  const Arguments arguments = Parse(name, {argv + (argc > 0 ? 1 : 0), argv + argc});
  if (arguments.help) {
    std::printf(kUsage, program);
    return control::kExitDone;
  }
  if (arguments.version) {
    std::printf("%s %s, protocol 3\n", program, CIPE_VERSION);
    return control::kExitDone;
  }
  if (!arguments.error.empty()) {
    return Fail(program, absl::InvalidArgumentError(arguments.error), control::kExitUsage);
  }
  absl::StatusOr<config::ClassicOptions> options = MergeOptions(arguments.request);
  if (!options.ok()) {
    return Fail(
        program, options.status(),
        absl::IsInvalidArgument(options.status()) ? control::kExitUsage : control::kExitFailed);
  }
  const bool debug = options->debug;
  if (debug) BlockSignals();
  WarnInsecure(program, *options);
  const absl::StatusOr<Started> link = StartLink(arguments.request.where, *std::move(options));
  if (!link.ok()) return Fail(program, link.status(), control::kExitFailed);
  if (!link->reason.empty()) {
    std::fprintf(stderr, "%s: %s is up but degraded: %s\n", program, link->name.c_str(),
                 link->reason.c_str());
  } else {
    std::fprintf(stderr, "%s: %s is up\n", program, link->name.c_str());
  }
  if (!debug) return link->reason.empty() ? control::kExitDone : control::kExitDegraded;
  const absl::Status watched = WatchLog(arguments.request.where, *link);
  return watched.ok() ? control::kExitDone : Fail(program, watched, control::kExitFailed);
}

}  // namespace
}  // namespace cipe::classic_start

int main(int argc, char** argv) { return cipe::classic_start::Main(argc, argv); }
