// Snapshot <-> JSON, as include/cipe/control/schema.h describes it.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "control/snapshot.h"
#include "nlohmann/json.hpp"

namespace cipe::control {

using Json = nlohmann::ordered_json;  // keeps the order of the schema

enum class Object { kAll, kTunnels, kPeers, kSessions, kDrops };

// What a `show` asks for. An empty name means every tunnel.
struct Selection {
  Object object = Object::kAll;
  std::string name;
};

// Never throws; octets that are not UTF-8 are replaced when the document is written (Dump).
Json ToJson(const Snapshot& snapshot, const Selection& selection = {});

// Reads what ToJson wrote. Tolerant, because names are only ever added: unknown names are ignored,
// missing ones keep their defaults. InvalidArgument when the document is no object at all.
absl::StatusOr<Snapshot> SnapshotFromJson(const Json& document);

// One line, or indented by `indent` spaces when that is not negative.
std::string Dump(const Json& document, int indent = -1);

}  // namespace cipe::control
