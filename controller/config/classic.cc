// Classic options as a tunnel, as text, and from files that root alone may touch.
#include "config/classic.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "config/classic_parser.h"
#include "config/file.h"
#include "config/keys.h"

namespace cipe::config {
namespace {

constexpr size_t kMaxOptionsFile = size_t{1} << 20;
constexpr char kPeerName[] = "peer";

absl::Status CheckDirectory(const std::string& directory) {
  struct stat info {};
  if (lstat(directory.c_str(), &info) != 0) {
    return absl::PermissionDeniedError(absl::StrCat(directory, ": ", strerror(errno)));
  }
  CIPE_RETURN_IF_ERROR(CheckOwner(directory, info));
  // In a sticky directory nobody but root can put another file where root's is.
  if ((info.st_mode & S_ISVTX) != 0) return absl::OkStatus();
  return CheckNotWritable(directory, info);
}

// Follows `path` name by name, links included, and checks every directory on the way: whoever may
// write in one of them chooses the file. Returns where it leads.
absl::StatusOr<std::string> WalkRoad(const std::string& path) {
  constexpr int kMostLinks = 40;  // as the kernel has it (path_resolution(7))
  const auto failed = [&](int error) -> absl::Status {
    const std::string text = absl::StrCat(path, ": ", strerror(error));
    if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(text);
    return absl::PermissionDeniedError(text);
  };
  std::deque<std::string> left = absl::StrSplit(path, '/', absl::SkipEmpty());
  std::string at;  // without the last slash
  CIPE_RETURN_IF_ERROR(CheckDirectory("/"));
  for (int links = 0; !left.empty();) {
    const std::string name = std::move(left.front());
    left.pop_front();
    if (name == "..") at.erase(std::min(at.size(), at.rfind('/')));
    if (name == "." || name == "..") continue;
    const std::string next = absl::StrCat(at, "/", name);
    struct stat info {};
    if (lstat(next.c_str(), &info) != 0) return failed(errno);
    if (S_ISLNK(info.st_mode)) {
      if (++links > kMostLinks) return failed(ELOOP);
      CIPE_RETURN_IF_ERROR(CheckOwner(next, info));
      std::error_code error;
      const std::string target = std::filesystem::read_symlink(next, error);
      if (error) return failed(error.value());
      if (absl::StartsWith(target, "/")) at.clear();
      const std::vector<std::string> names = absl::StrSplit(target, '/', absl::SkipEmpty());
      left.insert(left.begin(), names.begin(), names.end());
      continue;
    }
    if (!left.empty() && !S_ISDIR(info.st_mode)) return failed(ENOTDIR);
    if (!left.empty()) CIPE_RETURN_IF_ERROR(CheckDirectory(next));
    at = next;
  }
  return at.empty() ? "/" : at;
}

SecretText HexLine(const Secret<16>& key) {
  static constexpr char kDigits[] = "0123456789abcdef";
  SecretText text(4 + 32 + 1);
  char* out = text.UnsafeMutableData();
  std::memcpy(out, "key ", 4);
  for (size_t i = 0; i < 16; ++i) {
    out[4 + 2 * i] = kDigits[key.UnsafeBytes()[i] >> 4];
    out[5 + 2 * i] = kDigits[key.UnsafeBytes()[i] & 15];
  }
  out[36] = '\n';
  return text;
}

std::string PlainLines(const ClassicOptions& o) {
  std::string text = absl::StrCat("cipher ", o.CipherName(), "\nidea-order ",
                                  o.idea_order == IdeaOrder::kBig ? "be" : "le", "\nme ",
                                  o.me.ToString(), "\npeer ", o.peer.ToString(), "\nipaddr ",
                                  o.ipaddr.ToString(), "\nptpaddr ", o.ptpaddr.ToString(), "\n");
  const std::pair<const char*, int> numbers[] = {
      {"mtu", o.mtu},          {"cttl", o.cttl},     {"metric", o.metric},
      {"tokxc", o.tokxc},      {"tokey", o.tokey},   {"tokxts", o.tokxts},
      {"ping", o.ping},        {"toping", o.toping}, {"maxerr", o.maxerr},
      {"nokey", o.nokey},      {"debug", o.debug},   {"dynip", o.dynip},
      {"udpsum", o.udpsum},    {"kill", o.kill},     {"static-data", o.static_data},
      {"roam-any", o.roam_any}};
  for (const auto& [name, number] : numbers) absl::StrAppend(&text, name, " ", number, "\n");
  const std::pair<const char*, std::string> words[] = {
      {"ipup", o.ipup},
      {"ipdown", o.ipdown},
      {"arg", o.arg},
      {"socks", o.socks.has_value() ? o.socks->ToString() : ""},
      {"socks-user", o.socks_user},
      {"device", o.device},
      {"datapath", DatapathName(o.datapath)},
      {"carrier", o.carrier}};
  for (const auto& [name, word] : words) {
    if (!word.empty()) absl::StrAppend(&text, name, " ", word, "\n");
  }
  return text;
}

}  // namespace

ClassicOptions ClassicOptions::Clone() const {
  ClassicOptions copy;
  copy.cipher = cipher;
  copy.idea_order = idea_order;
  if (key.has_value()) copy.key = key->Clone();
  copy.nokey = nokey;
  copy.me = me;
  copy.peer = peer;
  copy.ipaddr = ipaddr;
  copy.ptpaddr = ptpaddr;
  copy.mtu = mtu;
  copy.cttl = cttl;
  copy.metric = metric;
  copy.tokxc = tokxc;
  copy.tokey = tokey;
  copy.tokxts = tokxts;
  copy.ping = ping;
  copy.toping = toping;
  copy.maxerr = maxerr;
  copy.ipup = ipup;
  copy.ipdown = ipdown;
  copy.arg = arg;
  copy.socks = socks;
  copy.socks_user = socks_user;
  if (socks_password.has_value()) copy.socks_password = socks_password->Clone();
  copy.device = device;
  copy.debug = debug;
  copy.dynip = dynip;
  copy.udpsum = udpsum;
  copy.static_data = static_data;
  copy.roam_any = roam_any;
  copy.kill = kill;
  copy.datapath = datapath;
  copy.carrier = carrier;
  return copy;
}

Tunnel ClassicTunnel(absl::string_view name, absl::string_view path, ClassicOptions options) {
  Tunnel tunnel;
  tunnel.name = std::string(name);
  tunnel.path = std::string(path);
  tunnel.protocol = 3;
  tunnel.addresses = {IpPrefix{options.ipaddr, 32}};
  tunnel.listen_port = options.me.port;
  tunnel.mtu = options.mtu;
  tunnel.table = TableChoice::kOff;  // the route to ptpaddr comes with the address
  tunnel.datapath = options.datapath;
  if (!options.carrier.empty()) tunnel.carriers = {options.carrier};
  Peer& peer = tunnel.peers.emplace_back();
  peer.name = kPeerName;
  peer.auth = Auth::kSharedKey;
  if (!options.LearnsPeer()) peer.endpoints = {options.peer};
  const uint8_t any[4] = {};
  peer.allowed_ips = {IpPrefix{IpAddress::V4(any), 0}};
  options.device = tunnel.name;
  tunnel.classic = std::move(options);
  return tunnel;
}

absl::StatusOr<Tunnel> ParseClassicTunnel(absl::string_view name, absl::string_view path,
                                          absl::string_view text) {
  ClassicParser parser(ClassicCipher::kBlowfish, {});
  CIPE_RETURN_IF_ERROR(parser.AddFile(path, text));
  CIPE_ASSIGN_OR_RETURN(ClassicOptions options, parser.Finish());
  if (!options.device.empty() && options.device != name) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": found device ", options.device,
                                                   ", expected ", name,
                                                   " as the file is called, or no device at all"));
  }
  return ClassicTunnel(name, path, std::move(options));
}

SecretText WriteClassicOptions(const ClassicOptions& options) {
  const std::string plain = PlainLines(options);
  constexpr absl::string_view kPassword = "socks-password ";
  const size_t password = options.socks_password.has_value() ? options.socks_password->size() : 0;
  SecretText text(plain.size() + 37 + kPassword.size() + password + 1);
  char* out = text.UnsafeMutableData();
  const auto append = [&out](absl::string_view part) {
    std::memcpy(out, part.data(), part.size());
    out += part.size();
  };
  append(plain);
  if (options.key.has_value()) append(HexLine(*options.key).UnsafeView());
  if (options.socks_password.has_value()) {
    const auto octets = options.socks_password->UnsafeBytes();
    append(kPassword);
    append({reinterpret_cast<const char*>(octets.data()), octets.size()});
    append("\n");
  }
  text.Truncate(static_cast<size_t>(out - text.UnsafeMutableData()));
  return text;
}

absl::StatusOr<SecretText> ReadOptionsFile(const std::string& path) {
  if (!absl::StartsWith(path, "/")) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, ": an options file needs an absolute path, so that its directories can be checked"));
  }
  CIPE_ASSIGN_OR_RETURN(const std::string resolved, WalkRoad(path));
  CIPE_ASSIGN_OR_RETURN(FileText file, ReadFile(resolved, kMaxOptionsFile));
  CIPE_RETURN_IF_ERROR(CheckOwner(path, file.info));
  CIPE_RETURN_IF_ERROR(CheckSecretMode(path, file.info));
  return std::move(file.text);
}

}  // namespace cipe::config
