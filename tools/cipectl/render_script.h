// The rendering for scripts: no header, nothing to be parsed but tabs and newlines.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "control/snapshot_json.h"

namespace cipe::cipectl {

// One line per object, its columns separated by tabs, in the order of ScriptColumns.
std::string RenderScript(const control::Json& status, control::Object object);

// One value per line: `field` of each object, any name of the JSON. InvalidArgument, with the names
// there are, for another.
absl::StatusOr<std::string> RenderField(const control::Json& status, control::Object object,
                                        const std::string& field);

// Columns separated by spaces; columns are only ever added, at the end.
std::string ScriptColumns(control::Object object);

}  // namespace cipe::cipectl
