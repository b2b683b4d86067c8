// STATE_DIR: what outlives processes and reboots. Time stamp floors of all identities (floors), the
// list of tunnels that are wanted up (wanted), this host's node id (node-id), reject routes and
// rules that are ours (routes).
//
// One daemon at a time: the lock file is held for as long as a copy of the StateDir lives.
//
// Files are replaced whole: temporary file, fsync(2), rename(2), fsync of the directory. Each ends
// with a SHA-256 line; one that does not check is reported and set aside as FILE.corrupt, so that
// half a file is never taken for the truth.
#pragma once

#include <array>
#include <compare>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/rng.h"
#include "base/unique_fd.h"
#include "broker/lasting_routes.h"
#include "config/model.h"

namespace cipe::broker {

// Who sends to whom, whatever name, tunnel or place they have in the configuration. Hex of a public
// key, or "shared-" and hex of a hash of the shared key, which is the identity of both ends then
// and reveals nothing about the key to who does not know it.
struct Identities {
  std::string own;
  std::string peer;
  friend auto operator<=>(const Identities&, const Identities&) = default;
};

// Of each peer of the tunnel. Internal when our own public key cannot be computed.
absl::StatusOr<std::vector<Identities>> IdentitiesOf(const config::Tunnel& tunnel);

using Stamp = std::array<uint8_t, 12>;  // TAI64N as on the wire; zero = none

struct Floors {
  std::map<std::string, Stamp> sent;     // by own identity: all up to here may have been sent
  std::map<Identities, Stamp> received;  // greatest accepted
  friend bool operator==(const Floors&, const Floors&) = default;
};

class StateDir {
 public:
  // Makes the directory (0700) when it is missing, and locks it. PermissionDenied names one that
  // cannot be written or belongs to somebody else; AlreadyExists names the process that has it.
  static absl::StatusOr<StateDir> Open(const std::string& path);

  // With the lock of another daemon, which writes no more.
  static absl::StatusOr<StateDir> Adopt(const std::string& path, UniqueFd lock);
  int lock() const { return lock_->get(); }

  // Nothing saved yet, or set aside just now: empty.
  absl::StatusOr<Floors> LoadFloors() const;
  // On disk when it returns. Errors name file and cause; the file is as it was then.
  absl::Status SaveFloors(const Floors& floors) const;

  absl::StatusOr<std::vector<std::string>> LoadWanted() const;
  absl::Status SaveWanted(const std::vector<std::string>& tunnels) const;

  absl::StatusOr<LastingRoutes> LoadRoutes() const;
  absl::Status SaveRoutes(const LastingRoutes& routes) const;

  // By which our own handshake messages are known when they come back, also after a restart.
  // Drawn from `rng` and saved the first time, and again when it was made on another machine than
  // `machine` (as ThisMachine() says; empty: not known), so that hosts that were copied from one
  // image do not take each other for themselves.
  absl::StatusOr<std::array<uint8_t, 16>> NodeId(Rng& rng, const std::string& machine) const;

 private:
  StateDir(std::string path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::make_shared<UniqueFd>(std::move(lock))) {}
  absl::StatusOr<std::vector<std::string>> ReadLines(const std::string& file) const;
  absl::Status WriteLines(const std::string& file, const std::vector<std::string>& lines) const;
  void SetAside(const std::string& file, absl::string_view why) const;

  std::string path_;
  std::shared_ptr<UniqueFd> lock_;
};

}  // namespace cipe::broker
