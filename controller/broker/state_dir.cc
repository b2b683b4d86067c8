#include "broker/state_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "broker/machine.h"
#include "broker/runtime_dir.h"
#include "config/config.h"
#include "crypto/hash.h"
#include "crypto/x25519.h"

namespace cipe::broker {
namespace {

constexpr char kFloorsFile[] = "floors";
constexpr char kRoutesFile[] = "routes";
constexpr char kNodeIdFile[] = "node-id";
constexpr char kMachinePrefix[] = "machine ";
constexpr char kSumPrefix[] = "sha256 ";
constexpr size_t kMaxFile = size_t{64} << 20;

ByteSpan Bytes(absl::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

std::string Hex(ByteSpan octets) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

std::string Sum(absl::string_view text) { return Hex(Hash(Suite::kAesGcmSha256, Bytes(text))); }

absl::Status Failed(absl::string_view what, absl::string_view path) {
  const std::string text =
      absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno),
                   "; the state directory must be writable (--state-dir chooses another)");
  if (errno == EACCES || errno == EPERM || errno == EROFS) return absl::PermissionDeniedError(text);
  return absl::InternalError(text);
}

absl::Status WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return absl::InternalError("write");
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

bool IsHex(absl::string_view text, size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == absl::string_view::npos;
}

std::string MachineLine(const std::string& machine) {
  return absl::StrCat(kMachinePrefix, machine);
}

bool ParseMachine(absl::string_view line, std::string* out) {
  if (!absl::ConsumePrefix(&line, kMachinePrefix) || !IsHex(line, kMachineDigits)) return false;
  *out = std::string(line);
  return true;
}

bool ParseTimestamp(absl::string_view hex, std::array<uint8_t, 12>* out) {
  if (!IsHex(hex, 24)) return false;
  const std::string octets = absl::HexStringToBytes(hex);
  std::memcpy(out->data(), octets.data(), out->size());
  return true;
}

}  // namespace

absl::StatusOr<std::vector<Identities>> IdentitiesOf(const config::Tunnel& tunnel) {
  std::string own;
  if (tunnel.private_key.has_value()) {
    CIPE_ASSIGN_OR_RETURN(const auto octets, PublicKey(*tunnel.private_key));
    own = Hex(octets);
  }
  std::vector<Identities> all;
  for (const config::Peer& peer : tunnel.peers) {
    if (tunnel.classic.has_value()) {
      // Protocol 3 has no floors; the identity only tells its peers apart.
      const std::string name = absl::StrCat("classic-", tunnel.name);
      all.push_back({name, name});
    } else if (peer.auth == config::Auth::kSharedKey) {
      const auto digest = Hash(Suite::kAesGcmSha256, Bytes("cipe state file peer identity"),
                               peer.shared_key->UnsafeBytes());
      const std::string both = absl::StrCat("shared-", Hex(ByteSpan(digest).first(16)));
      all.push_back({both, both});
    } else if (own.empty()) {
      return absl::InternalError(absl::StrCat("tunnel ", tunnel.name, " has no private key"));
    } else {
      all.push_back({own, Hex(peer.public_key)});
    }
  }
  return all;
}

absl::StatusOr<StateDir> StateDir::Open(const std::string& path) {
  CIPE_RETURN_IF_ERROR(MakeDirectory(path, 0700));
  CIPE_ASSIGN_OR_RETURN(UniqueFd lock, LockFile(path + "/lock", path, "--state-dir"));
  return StateDir(path, std::move(lock));
}

absl::StatusOr<StateDir> StateDir::Adopt(const std::string& path, UniqueFd lock) {
  CIPE_RETURN_IF_ERROR(TakeLock(lock.get(), path + "/lock"));
  return StateDir(path, std::move(lock));
}

absl::StatusOr<Floors> StateDir::LoadFloors() const {
  CIPE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, ReadLines(kFloorsFile));
  Floors floors;
  for (const std::string& line : lines) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    Stamp stamp{};
    if (words.size() == 3 && words[0] == "sent" && ParseTimestamp(words[2], &stamp)) {
      floors.sent[words[1]] = stamp;
    } else if (words.size() == 4 && words[0] == "received" && ParseTimestamp(words[3], &stamp)) {
      floors.received[{words[1], words[2]}] = stamp;
    } else {
      SetAside(kFloorsFile, "a line is not \"sent OWN STAMP\" or \"received OWN PEER STAMP\"");
      return Floors();
    }
  }
  return floors;
}

absl::Status StateDir::SaveFloors(const Floors& floors) const {
  std::vector<std::string> lines;
  for (const auto& [own, stamp] : floors.sent) {
    lines.push_back(absl::StrCat("sent ", own, " ", Hex(stamp)));
  }
  for (const auto& [who, stamp] : floors.received) {
    lines.push_back(absl::StrCat("received ", who.own, " ", who.peer, " ", Hex(stamp)));
  }
  return WriteLines(kFloorsFile, lines);
}

absl::StatusOr<std::vector<std::string>> StateDir::LoadWanted() const {
  CIPE_ASSIGN_OR_RETURN(std::vector<std::string> names, ReadLines("wanted"));
  for (const std::string& name : names) {
    if (config::CheckTunnelName(name).ok()) continue;
    SetAside("wanted", "a line is no tunnel name");
    return std::vector<std::string>();
  }
  return names;
}

absl::Status StateDir::SaveWanted(const std::vector<std::string>& tunnels) const {
  return WriteLines("wanted", tunnels);
}

absl::StatusOr<LastingRoutes> StateDir::LoadRoutes() const {
  CIPE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, ReadLines(kRoutesFile));
  const std::optional<LastingRoutes> routes = ParseLasting(lines);
  if (routes.has_value()) return *routes;
  SetAside(kRoutesFile, "a line is neither a reject route nor a rule");
  return LastingRoutes();
}

absl::Status StateDir::SaveRoutes(const LastingRoutes& routes) const {
  return WriteLines(kRoutesFile, FormatLasting(routes));
}

absl::StatusOr<std::array<uint8_t, 16>> StateDir::NodeId(Rng& rng,
                                                         const std::string& machine) const {
  CIPE_ASSIGN_OR_RETURN(const std::vector<std::string> lines, ReadLines(kNodeIdFile));
  std::array<uint8_t, 16> id{};
  std::string made_on;  // not known in the files of the first version
  const bool good = !lines.empty() && lines.size() <= 2 && IsHex(lines[0], 2 * id.size()) &&
                    (lines.size() == 1 || ParseMachine(lines[1], &made_on));
  if (good && (machine.empty() || made_on.empty() || made_on == machine)) {
    const std::string octets = absl::HexStringToBytes(lines[0]);
    std::memcpy(id.data(), octets.data(), id.size());
    if (machine.empty() || !made_on.empty()) return id;
    // Nothing depends on it before the machine is copied, so a disk that is full now may be.
    const absl::Status status = WriteLines(kNodeIdFile, {lines[0], MachineLine(machine)});
    if (!status.ok()) Log(Severity::kWarning, status.message());
    return id;
  }
  if (good) {
    Log(Severity::kNotice, "the state directory ", path_,
        " was made on another machine (its machine id differs): this one takes a new node id");
  } else if (!lines.empty()) {
    SetAside(kNodeIdFile, "it is not a line of 32 hex digits, and one \"machine HEX\" or none");
  }
  rng.Fill(absl::MakeSpan(id));
  std::vector<std::string> made = {Hex(id)};
  if (!machine.empty()) made.push_back(MachineLine(machine));
  CIPE_RETURN_IF_ERROR(WriteLines(kNodeIdFile, made));
  return id;
}

absl::StatusOr<std::vector<std::string>> StateDir::ReadLines(const std::string& file) const {
  const std::string path = absl::StrCat(path_, "/", file);
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid() && errno == ENOENT) return std::vector<std::string>();
  if (!fd.valid()) return Failed("read", path);
  std::string text;
  char part[4096];
  ssize_t n;
  while ((n = read(fd.get(), part, sizeof part)) > 0 && text.size() < kMaxFile) {
    text.append(part, static_cast<size_t>(n));
  }
  if (n < 0) return Failed("read", path);
  const size_t sum = text.rfind(kSumPrefix);
  if (sum == std::string::npos || (sum > 0 && text[sum - 1] != '\n') ||
      text.substr(sum) != absl::StrCat(kSumPrefix, Sum(text.substr(0, sum)), "\n")) {
    SetAside(file, "its checksum does not match");
    return std::vector<std::string>();
  }
  return std::vector<std::string>(
      absl::StrSplit(absl::string_view(text).substr(0, sum), '\n', absl::SkipEmpty()));
}

absl::Status StateDir::WriteLines(const std::string& file,
                                  const std::vector<std::string>& lines) const {
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, line, "\n");
  absl::StrAppend(&text, kSumPrefix, Sum(text), "\n");
  const std::string path = absl::StrCat(path_, "/", file);
  const std::string temporary = path + ".new";
  const UniqueFd fd(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid() || !WriteAll(fd.get(), text).ok() || fsync(fd.get()) != 0 ||
      rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status status = Failed("write", path);
    unlink(temporary.c_str());  // half a file only takes room on a disk that may be full
    return status;
  }
  const UniqueFd directory(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || fsync(directory.get()) != 0) return Failed("sync", path_);
  return absl::OkStatus();
}

void StateDir::SetAside(const std::string& file, absl::string_view why) const {
  const std::string path = absl::StrCat(path_, "/", file);
  const std::string aside = path + ".corrupt";
  Log(Severity::kError, "state file ", path, " is not used: ", why, "; kept as ", aside);
  if (rename(path.c_str(), aside.c_str()) != 0) {
    Log(Severity::kError, "cannot rename ", path, ": ", strerror(errno));
  }
}

}  // namespace cipe::broker
