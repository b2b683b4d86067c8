// A request of the control socket. Parsing is pure: what a stranger sends ends in a Request that is
// valid in every field, or in an error.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "control/reply.h"
#include "control/snapshot_json.h"

namespace cipe::control {

enum class Verb { kUp, kDown, kShow, kForgetClock, kReload, kMonitor };
const char* VerbName(Verb verb);
// True for verbs that only root and the daemon's starter may use.
bool ChangesThings(Verb verb);

struct Request {
  Verb verb = Verb::kShow;
  std::string name;              // tunnel; empty for show and reload alone; a legal file stem
  bool wait = true;              // up
  Object object = Object::kAll;  // show
  std::string peer{};            // forget-clock: never empty; name or public key
  bool dry_run = false;          // reload
  // What the daemon must use, else it refuses; absolute, empty: whatever it uses.
  std::string config_dir{};
  std::string state_dir{};
};

// 1 to 15 of A-Z a-z 0-9 _ = + . - and neither "." nor "..": safe as a file stem, as a netdev name
// and in the kernel's name templates ('%' would be one).
bool IsTunnelName(absl::string_view name);

// Absolute and without symbolic links, as far as it exists: equal texts are equal directories.
std::string CanonicalDirectory(const std::string& path);

// "tunnels", "peers", "sessions", "drops"; false for anything else.
bool ParseObject(absl::string_view text, Object* object);
const char* ObjectName(Object object);  // "all" for kAll

// `text` is the document without its NUL. On false *error says what was expected and *request is
// unchanged.
bool ParseRequest(absl::string_view text, Request* request, Error* error);

// The document ParseRequest reads, without NUL.
std::string SerializeRequest(const Request& request);

}  // namespace cipe::control
