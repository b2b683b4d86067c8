// cipectl: the table of verbs and their command line.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "cipe/control/schema.h"
#include "tools/cipectl/client.h"
#include "tools/cipectl/render_script.h"
#include "tools/cipectl/verbs.h"

namespace cipe::cipectl {
namespace {

struct VerbRow {
  const char* name;
  const char* help;
  int (*run)(const Options&);
  void (*arguments)(CLI::App* verb, Options* options);
};

void NoArguments(CLI::App*, Options*) {}

void NameArgument(CLI::App* verb, Options* options) {
  verb->add_option("NAME", options->first, "tunnel, or the path of its file")->required();
}

void UpArguments(CLI::App* verb, Options* options) {
  NameArgument(verb, options);
  verb->add_flag("--no-wait", options->no_wait, "do not wait for the first handshake");
}

void MonitorArguments(CLI::App* verb, Options* options) {
  verb->add_option("NAME", options->first, "only of this tunnel");
  verb->footer(
      "Events: up, down, handshake, rekeyed, no_answer, closed, dead, alive, roamed, "
      "rung_changed,\n"
      "path_mtu_changed, drop_burst. With -j one JSON object a line. A ciped that is replaced is\n"
      "followed; when ciped ends, so does this, with exit code 3.");
}

void ReloadArguments(CLI::App* verb, Options* options) {
  verb->add_option("NAME", options->first,
                   "tunnel, or the path of its file (default: every tunnel that is up)");
  verb->add_flag("--dry-run", options->dry_run, "only print what would be changed");
  verb->footer(
      "Compares the files with what is up, prints each change and makes it. All files are checked\n"
      "before anything is changed; an error changes nothing. Peers that stay as they are lose no\n"
      "packet, and keep session, counters and endpoint. What cannot be changed in a tunnel that "
      "is\n"
      "up (Protocol, Suite) is refused: take the tunnel down and up again for that.");
}

void ForgetClockArguments(CLI::App* verb, Options* options) {
  NameArgument(verb, options);
  verb->add_option("PEER", options->second, "its name or public key")->required();
  verb->footer(
      "A peer is refused while its clock is behind the latest time it ever said, which keeps\n"
      "recorded handshakes from being played back. When its clock was far ahead once and is right\n"
      "now, this lets it in again. Handshakes recorded before can then be played back, too, until\n"
      "the peer's next one; they carry no data, but one of the time when its clock was ahead\n"
      "would lock the peer out again. Give it a new key if that happens.");
}

void ConvertArguments(CLI::App* verb, Options* options) {
  verb->add_option("FILE", options->first, "options file (usually /etc/cipe/options)")->required();
  verb->add_option("WORDS", options->words,
                   "[NAME] [OPTION=VALUE]...: name of the new tunnels (default: cipe), and what "
                   "stood on the command line of ciped-cb");
  verb->add_flag("--keys", options->keys, "make new key pairs instead of keeping the shared key");
}

void ShowArguments(CLI::App* verb, Options* options) {
  verb->add_option("OBJECT", options->first, "tunnels, peers, sessions or drops (default: all)");
  verb->add_option("NAME", options->second, "only of this tunnel");
  auto* script = verb->add_flag("-s,--script", options->script,
                                "one line per object, columns separated by tabs");
  auto* field = verb->add_option("--field", options->field,
                                 "one value per line: this field (any name of -j)");
  script->excludes(field);
  std::string footer =
      "Absent values are \"-\", lists are separated by commas, drops are reason=count.\n"
      "Columns of --script (only ever added to, at the end):\n";
  using control::Object;
  for (const auto& [name, object] :
       {std::pair{"tunnels", Object::kTunnels}, std::pair{"peers", Object::kPeers},
        std::pair{"sessions", Object::kSessions}, std::pair{"drops", Object::kDrops}}) {
    footer += std::string("  ") + name + ": " + ScriptColumns(object) + "\n";
  }
  verb->footer(footer);
}

constexpr VerbRow kVerbs[] = {
    {"up", "set a tunnel up, starting ciped when it does not run", Up, UpArguments},
    {"down", "take a tunnel down", Down, NameArgument},
    {"reload", "change tunnels that are up to what their files say now", Reload, ReloadArguments},
    {"show", "show tunnels, peers, sessions, drops (default verb)", Show, ShowArguments},
    {"monitor", "print what happens as it happens, until interrupted", Monitor, MonitorArguments},
    {"forget-clock", "let in a peer whose clock was ahead once and was set back", ForgetClock,
     ForgetClockArguments},
    {"convert", "print the protocol 5 configuration of a protocol 3 options file", Convert,
     ConvertArguments},
    {"genkey", "print a new private key", GenKey, NoArguments},
    {"pubkey", "read a private key, print its public key", PubKey, NoArguments},
    {"genpsk", "print a new preshared or shared key", GenPsk, NoArguments},
    {"version", "print the versions of cipectl and ciped", Version, NoArguments},
};

constexpr char kFooter[] =
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 ciped is not running, 4 up but degraded.\n"
    "Environment: CIPE_RUNTIME_DIR instead of --runtime-dir; CIPE_CIPED names the ciped to start.";

// A full disk must not look like success.
int Flushed(int code) {
  const bool failed = std::ferror(stdout) != 0;
  if (std::fflush(stdout) == 0 && !failed) return code;
  Complain(absl::InternalError(absl::StrCat("writing to standard output: ", strerror(errno))));
  return code == control::kExitDone ? control::kExitFailed : code;
}

// Descriptors 0 to 2 are there: else the socket to ciped would be standard output. One that was
// closed is opened the wrong way round, so that using it is still an error.
void FillStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    [[maybe_unused]] const int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int Main(int argc, char** argv) {
  FillStandardStreams();
  Options options;
  options.config_dir = control::kDefaultConfigDir;
  options.runtime_dir = control::kDefaultRuntimeDir;
  options.state_dir = control::kDefaultStateDir;

  CLI::App app("cipectl controls ciped, the daemon of CIPE tunnels.", "cipectl");
  app.footer(kFooter);
  app.require_subcommand(0, 1);
  app.add_flag("-j,--json", options.json, "print JSON");
  app.add_option("--config-dir", options.config_dir, "tunnel files")->capture_default_str();
  app.add_option("--runtime-dir", options.runtime_dir, "where ciped's socket is")
      ->envname(control::kRuntimeDirEnvironment)
      ->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "passed on when starting ciped")
      ->capture_default_str();
  int (*run)(const Options&) = Show;
  for (const VerbRow& row : kVerbs) {
    CLI::App* verb = app.add_subcommand(row.name, row.help);
    verb->fallthrough();  // -j and the directories may stand after the verb, too
    row.arguments(verb, &options);
    verb->callback([&run, &row] { run = row.run; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? control::kExitDone : control::kExitUsage;
  }
  options.config_dir_given = app.get_option("--config-dir")->count() > 0;
  options.state_dir_given = app.get_option("--state-dir")->count() > 0;
  return Flushed(run(options));
}

}  // namespace
}  // namespace cipe::cipectl

int main(int argc, char** argv) { return cipe::cipectl::Main(argc, argv); }
