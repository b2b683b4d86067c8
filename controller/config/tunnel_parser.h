// Reads one tunnel file: sections and assignments (parser.cc), and what each option means
// (tunnel_options.cc).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "config/config.h"
#include "config/draft.h"
#include "config/parse_error.h"
#include "config/secret_text.h"

namespace cipe::config {

class TunnelParser {
 public:
  TunnelParser(absl::string_view name, absl::string_view path, absl::string_view text,
               const KeyFileReader& read_key_file)
      : text_(text), read_key_file_(read_key_file) {
    draft_.tunnel.name = std::string(name);
    draft_.tunnel.path = std::string(path);
  }
  absl::StatusOr<Tunnel> Run();

 private:
  enum class Section { kNone, kInterface, kPeer };
  struct Option {
    absl::string_view name;
    absl::Status (TunnelParser::*apply)(const Token& value);
    enum { kOnce, kRepeatable, kCommand } kind;  // kCommand: repeatable, and '#' is part of it
  };
  static absl::Span<const Option> Options(Section section);

  absl::Status CheckFirstLine() const;
  absl::Status EnterSection(const Line& line);
  absl::Status LeaveSection();
  absl::Status Assign(const Line& line);
  absl::Status UnknownOption(const Token& name) const;
  absl::Status Error(Place place, absl::string_view message) const {
    return ErrorAt(draft_.tunnel.path, place, message);
  }
  absl::Status Located(Place place, const absl::Status& status) const {
    return status.ok() ? status : Error(place, status.message());
  }
  template <typename T, typename V>
  absl::Status Store(Place place, absl::StatusOr<V> value, T* out) const {
    if (!value.ok()) return Located(place, value.status());
    *out = static_cast<T>(*std::move(value));
    return absl::OkStatus();
  }
  // At most one of several options that mean the same thing.
  absl::Status OnlyOne(absl::string_view other, Place place) const;
  absl::StatusOr<SecretText> KeyText(const Token& value, bool from_file) const;
  template <typename K, typename ParseKey>
  absl::Status StoreKey(const Token& value, bool from_file, ParseKey parse, std::optional<K>* out);
  absl::Status SharedKeyFrom(const Token& value, bool from_file);

  absl::Status Address(const Token& v);
  absl::Status ListenPort(const Token& v);
  absl::Status PrivateKey(const Token& v);
  absl::Status PrivateKeyFile(const Token& v);
  absl::Status Protocol(const Token& v);
  absl::Status DatapathOption(const Token& v);
  absl::Status SuiteOption(const Token& v);
  absl::Status Carrier(const Token& v);
  absl::Status Lanes(const Token& v);
  absl::Status Mtu(const Token& v);
  absl::Status Table(const Token& v);
  absl::Status FwMark(const Token& v);
  absl::Status Metric(const Token& v);
  absl::Status RejectWhenDown(const Token& v);
  absl::Status MssClamp(const Token& v);
  absl::Status Dscp(const Token& v);
  template <std::vector<std::string> Hooks::*kList>
  absl::Status Hook(const Token& v);
  absl::Status Rekey(const Token& v);

  absl::Status Name(const Token& v);
  absl::Status EndpointOption(const Token& v);
  absl::Status PublicKeyOption(const Token& v);
  absl::Status SharedKey(const Token& v) { return SharedKeyFrom(v, false); }
  absl::Status SharedKeyFile(const Token& v) { return SharedKeyFrom(v, true); }
  absl::Status PresharedKey(const Token& v);
  absl::Status PresharedKeyFile(const Token& v);
  absl::Status AllowedIps(const Token& v);
  absl::Status PersistentKeepalive(const Token& v);
  absl::Status Ping(const Token& v);
  absl::Status PingTimeout(const Token& v);

  Peer& peer() { return draft_.tunnel.peers.back(); }
  PeerPlaces& places() { return draft_.peers.back(); }

  const absl::string_view text_;
  const KeyFileReader& read_key_file_;
  Draft draft_;
  Section section_ = Section::kNone;
  std::map<absl::string_view, int> seen_;  // options of this section -> line
};

}  // namespace cipe::config
