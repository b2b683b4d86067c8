#include "tools/cipectl/render_script.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "control/request.h"

namespace cipe::cipectl {
namespace {

using control::Json;
using control::Object;

std::string Plain(const Json& value);

// null and empty lists are "-", so that no column is ever empty.
std::string Joined(const Json& list) {
  std::vector<std::string> parts;
  for (const auto& [key, item] : list.items()) {
    // Carriers are objects with names; drops are counts by reason.
    if (item.is_object()) {
      parts.push_back(item.contains("name") ? Plain(item["name"]) : "-");
    } else {
      parts.push_back(list.is_object() ? absl::StrCat(key, "=", Plain(item)) : Plain(item));
    }
  }
  return parts.empty() ? "-" : absl::StrJoin(parts, ",");
}

std::string Plain(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_structured()) return Joined(value);
  std::string text = value.is_string() ? value.get<std::string>() : control::Dump(value);
  // A tab or newline from a name or a reason would forge columns and lines.
  std::replace_if(
      text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); }, ' ');
  return text.empty() ? "-" : text;
}

const Json& ListOf(const Json& status, Object object) {
  static const Json kNone = Json::array();
  if (!status.is_object()) return kNone;
  const auto it = status.find(control::ObjectName(object));
  return it != status.end() && it->is_array() ? *it : kNone;
}

std::string FieldOf(const Json& item, const std::string& field) {
  if (!item.is_object()) return "-";
  const auto it = item.find(field);
  return it == item.end() ? "-" : Plain(*it);
}

}  // namespace

std::string ScriptColumns(Object object) {
  switch (object) {
    case Object::kTunnels:
      return "name id state protocol suite listen_port addresses mtu rung carriers public_key "
             "peers "
             "rx_bytes tx_bytes rx_packets tx_packets drops";
    case Object::kPeers:
      return "tunnel name public_key endpoint allowed_ips latest_handshake rx_bytes tx_bytes "
             "rx_packets tx_packets rung path_mtu persistent_keepalive status drops "
             "rung_reason path_mtu_source";
    case Object::kSessions:
      return "tunnel peer slot role local_index remote_index age_s expires_s lanes tx_counter "
             "rx_greatest";
    case Object::kDrops:
      return "scope reason count";
    case Object::kAll:
      break;
  }
  return "";
}

std::string RenderScript(const Json& status, Object object) {
  const std::vector<std::string> columns = absl::StrSplit(ScriptColumns(object), ' ');
  std::string out;
  for (const Json& item : ListOf(status, object)) {
    std::vector<std::string> values;
    for (const std::string& column : columns) values.push_back(FieldOf(item, column));
    absl::StrAppend(&out, absl::StrJoin(values, "\t"), "\n");
  }
  return out;
}

absl::StatusOr<std::string> RenderField(const Json& status, Object object,
                                        const std::string& field) {
  const std::vector<std::string> columns = absl::StrSplit(ScriptColumns(object), ' ');
  bool known = std::find(columns.begin(), columns.end(), field) != columns.end();
  std::string out;
  for (const Json& item : ListOf(status, object)) {
    known = known || (item.is_object() && item.contains(field));
    absl::StrAppend(&out, FieldOf(item, field), "\n");
  }
  if (known) return out;
  return absl::InvalidArgumentError(absl::StrCat("no field '", field, "' in ",
                                                 control::ObjectName(object), ": there are ",
                                                 absl::StrJoin(columns, ", ")));
}

}  // namespace cipe::cipectl
