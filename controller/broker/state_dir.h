// STATE_DIR: what outlives processes and reboots. Timestamp floors per tunnel and peer
// (NAME.floors), the list of tunnels that are wanted up (wanted), this host's node id (node-id).
//
// Files are replaced whole: temporary file, fsync(2), rename(2), fsync of the directory. Each ends
// with a SHA-256 line; one that does not check is reported and set aside as FILE.corrupt, so that
// half a file is never taken for the truth.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/rng.h"
#include "config/model.h"
#include "ipc/messages.h"

namespace cipe::broker {

// Hex of the public key, or "shared-" and hex of a hash of the shared key: stands for the peer in
// files whatever name or place it has in the configuration. Reveals nothing about the shared key
// to who does not know it.
std::string PeerIdentity(const config::Peer& peer);

using Floors = std::map<std::string, ipc::Floor>;  // by PeerIdentity

class StateDir {
 public:
  // Makes the directory (0700) when it is missing. PermissionDenied names one that cannot be
  // written.
  static absl::StatusOr<StateDir> Open(const std::string& path);

  // Nothing saved yet, or set aside just now: empty.
  absl::StatusOr<Floors> LoadFloors(absl::string_view tunnel) const;
  // On disk when it returns. Errors name file and cause.
  absl::Status SaveFloors(absl::string_view tunnel, const Floors& floors) const;

  absl::StatusOr<std::vector<std::string>> LoadWanted() const;
  absl::Status SaveWanted(const std::vector<std::string>& tunnels) const;

  // By which our own handshake messages are known when they come back, also after a restart.
  // Drawn from `rng` and saved the first time.
  absl::StatusOr<std::array<uint8_t, 16>> NodeId(Rng& rng) const;

 private:
  explicit StateDir(std::string path) : path_(std::move(path)) {}
  absl::StatusOr<std::vector<std::string>> ReadLines(const std::string& file) const;
  absl::Status WriteLines(const std::string& file, const std::vector<std::string>& lines) const;
  void SetAside(const std::string& file, absl::string_view why) const;

  std::string path_;
};

}  // namespace cipe::broker
