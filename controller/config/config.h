// From a tunnel file to a checked Tunnel (docs/configuration.md). The first error ends the parsing:
// InvalidArgument "FILE:LINE:COLUMN: what was found, what was expected", columns counted in octets
// from 1. Nothing is half applied, and no message holds a secret.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "config/model.h"
#include "config/secret_text.h"

namespace cipe::config {

// Gives the text of a key file without surrounding white space; the path is already resolved.
using KeyFileReader = std::function<absl::StatusOr<SecretText>(const std::string& path)>;

// Parses and validates `text`. Touches no file but through `read_key_file`. `path` serves messages
// and relative key files; `name` becomes the tunnel's name. A classic options file gives
// Unimplemented.
absl::StatusOr<Tunnel> ParseTunnel(absl::string_view name, absl::string_view path,
                                   absl::string_view text, const KeyFileReader& read_key_file);

// Reads CONFIG_DIR/NAME.conf, checks owner and permissions, parses. NotFound when there is no such
// file, PermissionDenied when the file or a key file may be read or written by others.
absl::StatusOr<Tunnel> LoadTunnel(const std::string& config_dir, absl::string_view name);

// Names of the tunnels in `config_dir` (files NAME.conf with a valid name), sorted.
absl::StatusOr<std::vector<std::string>> ListTunnels(const std::string& config_dir);

// InvalidArgument unless `name` can be a tunnel: 1-15 characters valid in a netdev's name.
absl::Status CheckTunnelName(absl::string_view name);

// Of all tunnels together: places in the map that the next engine reads (CIPE_MAX_PEERS).
inline constexpr size_t kMaxPeers = 65536;

// What a single file cannot show: FailedPrecondition names both tunnels when one private key,
// shared key or preshared key is used with two suites, or one name occurs twice; ResourceExhausted
// when there are more than kMaxPeers peers. Pointers are not null.
absl::Status CheckAcross(absl::Span<const Tunnel* const> tunnels);
absl::Status CheckAcross(absl::Span<const Tunnel> tunnels);

}  // namespace cipe::config
