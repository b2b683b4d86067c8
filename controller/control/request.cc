#include "control/request.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cipe/control/schema.h"

namespace cipe::control {
namespace {

// Not Json: finding a name in that is linear, and a request of 64 KB may hold thousands.
using Document = nlohmann::json;

// One row per verb: what a request of it may hold.
struct VerbRow {
  Verb verb;
  const char* name;
  bool changes_things;
  bool needs_name;
  bool takes_wait;
  bool takes_object;
  bool takes_peer;
  bool takes_dry_run;
};
constexpr VerbRow kVerbs[] = {
    {Verb::kUp, kVerbUp, true, true, true, false, false, false},
    {Verb::kDown, kVerbDown, true, true, false, false, false, false},
    {Verb::kShow, kVerbShow, false, false, false, true, false, false},
    {Verb::kForgetClock, kVerbForgetClock, true, true, false, false, true, false},
    {Verb::kReload, kVerbReload, true, false, false, false, false, true},
    {Verb::kMonitor, kVerbMonitor, false, false, false, false, false, false},
};

struct ObjectRow {
  Object object;
  const char* name;
};
constexpr ObjectRow kObjects[] = {{Object::kTunnels, kObjectTunnels},
                                  {Object::kPeers, kObjectPeers},
                                  {Object::kSessions, kObjectSessions},
                                  {Object::kDrops, kObjectDrops}};

const VerbRow& RowOf(Verb verb) {
  return *std::find_if(std::begin(kVerbs), std::end(kVerbs),
                       [&](const VerbRow& row) { return row.verb == verb; });
}

// What a stranger wrote, short enough and printable, for an error message.
std::string Quoted(absl::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 40)) out += absl::ascii_isprint(c) ? c : '?';
  return out + (text.size() > 40 ? "...'" : "'");
}

bool Refuse(Error* error, const char* code, std::string message) {
  *error = Error{code, std::move(message), kExitFailed};
  return false;
}

const VerbRow* FindVerb(const Document& document, Error* error) {
  const auto it = document.find("verb");
  if (it == document.end() || !it->is_string()) {
    Refuse(error, kErrorBadRequest, "request needs \"verb\", a string");
    return nullptr;
  }
  const auto& name = it->get_ref<const std::string&>();
  for (const VerbRow& row : kVerbs)
    if (name == row.name) return &row;
  Refuse(error, kErrorUnknownVerb,
         absl::StrCat("unknown verb ", Quoted(name), ": this ciped knows ",
                      absl::StrJoin(kVerbs, ", ", [](std::string* out, const VerbRow& row) {
                        out->append(row.name);
                      })));
  return nullptr;
}

bool CheckVersion(const Document& document, Error* error) {
  const auto it = document.find("version");
  if (it == document.end() || !it->is_number_integer()) {
    return Refuse(error, kErrorBadRequest, "request needs \"version\", an integer");
  }
  if (*it != kSchemaVersion) {
    return Refuse(error, kErrorUnsupportedVersion,
                  absl::StrCat("this ciped speaks version ", kSchemaVersion,
                               " of the control protocol: use the cipectl of the same release"));
  }
  return true;
}

bool ReadName(const Document& value, Request* request, Error* error) {
  if (value.is_null()) return true;
  if (!value.is_string()) return Refuse(error, kErrorBadRequest, "\"name\" must be a string");
  const auto& name = value.get_ref<const std::string&>();
  if (!IsTunnelName(name)) {
    return Refuse(error, kErrorBadRequest,
                  absl::StrCat(Quoted(name), " is no tunnel name: 1 to ", kMaxTunnelName,
                               " of A-Z a-z 0-9 _ = + . -"));
  }
  request->name = name;
  return true;
}

bool ReadFlag(const Document& value, const std::string& field, bool* out, Error* error) {
  if (value.is_null()) return true;
  if (!value.is_boolean()) {
    return Refuse(error, kErrorBadRequest, absl::StrCat("\"", field, "\" must be true or false"));
  }
  *out = value.get<bool>();
  return true;
}

bool ReadObject(const Document& value, Request* request, Error* error) {
  if (value.is_null()) return true;
  if (!value.is_string() || !ParseObject(value.get_ref<const std::string&>(), &request->object)) {
    return Refuse(error, kErrorBadRequest, "\"object\" must be tunnels, peers, sessions or drops");
  }
  return true;
}

bool ReadPeer(const Document& value, Request* request, Error* error) {
  if (!value.is_string()) return Refuse(error, kErrorBadRequest, "\"peer\" must be a string");
  const auto& peer = value.get_ref<const std::string&>();
  if (peer.empty() || peer.size() > kMaxPeerName ||
      !std::all_of(peer.begin(), peer.end(), absl::ascii_isgraph)) {
    return Refuse(error, kErrorBadRequest,
                  absl::StrCat(Quoted(peer), " is no peer: its name or public key, 1 to ",
                               kMaxPeerName, " characters"));
  }
  request->peer = peer;
  return true;
}

bool ReadDirectory(const Document& value, const std::string& field, std::string* out,
                   Error* error) {
  if (value.is_null()) return true;
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  if (text.empty() || text[0] != '/' || text.size() > kMaxDirectory) {
    return Refuse(error, kErrorBadRequest,
                  absl::StrCat("\"", field, "\" must be an absolute path of at most ",
                               kMaxDirectory, " octets"));
  }
  *out = text;
  return true;
}

bool ReadField(const std::string& field, const Document& value, const VerbRow& row,
               Request* request, Error* error) {
  if (field == "version" || field == "verb") return true;
  if (field == "name") return ReadName(value, request, error);
  if (field == "config_dir") return ReadDirectory(value, field, &request->config_dir, error);
  if (field == "state_dir") return ReadDirectory(value, field, &request->state_dir, error);
  if (field == "wait" && row.takes_wait) return ReadFlag(value, field, &request->wait, error);
  if (field == "dry_run" && row.takes_dry_run) {
    return ReadFlag(value, field, &request->dry_run, error);
  }
  if (field == "object" && row.takes_object) return ReadObject(value, request, error);
  if (field == "peer" && row.takes_peer) return ReadPeer(value, request, error);
  return Refuse(error, kErrorBadRequest,
                absl::StrCat("field ", Quoted(field), " is not known for verb '", row.name, "'"));
}

}  // namespace

const char* VerbName(Verb verb) { return RowOf(verb).name; }
bool ChangesThings(Verb verb) { return RowOf(verb).changes_things; }

bool IsTunnelName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxTunnelName || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || absl::string_view("_=+.-").find(c) != absl::string_view::npos;
  });
}

std::string CanonicalDirectory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  std::filesystem::path real = std::filesystem::weakly_canonical(absolute, error);
  if (error) real = absolute.lexically_normal();
  // "/etc/cipe/" names a directory with an empty last part.
  if (!real.has_filename() && real.has_relative_path()) real = real.parent_path();
  return real;
}

bool ParseObject(absl::string_view text, Object* object) {
  for (const ObjectRow& row : kObjects) {
    if (text != row.name) continue;
    *object = row.object;
    return true;
  }
  return false;
}

const char* ObjectName(Object object) {
  for (const ObjectRow& row : kObjects)
    if (row.object == object) return row.name;
  return "all";
}

bool ParseRequest(absl::string_view text, Request* request, Error* error) {
  if (text.size() >= kMaxRequestSize) {
    return Refuse(error, kErrorTooLarge,
                  absl::StrCat("request is longer than ", kMaxRequestSize, " octets"));
  }
  const Document document =
      Document::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return Refuse(error, kErrorBadRequest, "request is not a JSON object");
  }
  if (!CheckVersion(document, error)) return false;
  const VerbRow* row = FindVerb(document, error);
  if (row == nullptr) return false;
  Request parsed;
  parsed.verb = row->verb;
  for (const auto& [field, value] : document.items()) {
    if (!ReadField(field, value, *row, &parsed, error)) return false;
  }
  if (row->needs_name && parsed.name.empty()) {
    return Refuse(error, kErrorBadRequest,
                  absl::StrCat("verb '", row->name, "' needs \"name\", the tunnel"));
  }
  if (row->takes_peer && parsed.peer.empty()) {
    return Refuse(error, kErrorBadRequest,
                  absl::StrCat("verb '", row->name, "' needs \"peer\", one of the tunnel's"));
  }
  *request = std::move(parsed);
  return true;
}

std::string SerializeRequest(const Request& request) {
  const VerbRow& row = RowOf(request.verb);
  Json document{{"version", kSchemaVersion}, {"verb", row.name}};
  if (!request.name.empty()) document["name"] = request.name;
  if (row.takes_wait) document["wait"] = request.wait;
  if (row.takes_object && request.object != Object::kAll) {
    document["object"] = ObjectName(request.object);
  }
  if (row.takes_peer) document["peer"] = request.peer;
  if (row.takes_dry_run) document["dry_run"] = request.dry_run;
  if (!request.config_dir.empty()) document["config_dir"] = request.config_dir;
  if (!request.state_dir.empty()) document["state_dir"] = request.state_dir;
  return Dump(document);
}

}  // namespace cipe::control
