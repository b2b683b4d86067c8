#include "config/difference.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/secret_index.h"

namespace cipe::config {
namespace {

// ---- values as text ----

std::string Text(bool value) { return value ? "yes" : "no"; }
std::string Text(int value) { return absl::StrCat(value); }
std::string Text(uint16_t value) { return absl::StrCat(value); }
std::string Text(uint32_t value) { return absl::StrCat(value); }
std::string Text(Datapath value) { return DatapathName(value); }
std::string Text(Suite value) { return std::string(SuiteName(value)); }

template <typename T>
std::string Text(const std::vector<T>& values) {
  if (values.empty()) return "none";
  return absl::StrJoin(values, ", ", [](std::string* out, const T& value) {
    if constexpr (requires { value.ToString(); }) {
      out->append(value.ToString());
    } else {
      out->append(value);
    }
  });
}

std::string MtuText(const TunnelOptions& o) { return o.mtu == 0 ? "auto" : Text(o.mtu); }
std::string MarkText(const TunnelOptions& o) { return o.fwmark == 0 ? "off" : Text(o.fwmark); }

std::string TableText(const TunnelOptions& o) {
  if (o.table == TableChoice::kNumber) return Text(o.table_number);
  return o.table == TableChoice::kOff ? "off" : "auto";
}

std::string DscpText(const TunnelOptions& o) {
  if (o.dscp == DscpChoice::kValue) return absl::StrCat(o.dscp_value);
  return o.dscp == DscpChoice::kCopy ? "copy" : "none";
}

std::string CarrierText(const TunnelOptions& o) {
  return o.carriers.empty() ? "auto" : Text(o.carriers);
}

// ---- options of [Interface] ----

// What a member of TunnelOptions is called in a file, and how it is told. `also` is a second member
// that belongs to the same line of the file.
struct OptionRow {
  const char* option;
  bool in_place;
  bool (*same)(const TunnelOptions&, const TunnelOptions&);
  void (*take)(const TunnelOptions& from, TunnelOptions* to);
  std::string (*text)(const TunnelOptions&);
};

template <auto kMember>
constexpr OptionRow Row(const char* option, bool in_place = true,
                        std::string (*text)(const TunnelOptions&) = nullptr) {
  if (text == nullptr) text = [](const TunnelOptions& o) { return Text(o.*kMember); };
  return {option, in_place,
          [](const TunnelOptions& a, const TunnelOptions& b) { return a.*kMember == b.*kMember; },
          [](const TunnelOptions& from, TunnelOptions* to) { to->*kMember = from.*kMember; }, text};
}

// Two members that one line of the file sets.
template <auto kOne, auto kOther>
constexpr OptionRow Row2(const char* option, std::string (*text)(const TunnelOptions&)) {
  return {option, true,
          [](const TunnelOptions& a, const TunnelOptions& b) {
            return a.*kOne == b.*kOne && a.*kOther == b.*kOther;
          },
          [](const TunnelOptions& from, TunnelOptions* to) {
            to->*kOne = from.*kOne;
            to->*kOther = from.*kOther;
          },
          text};
}

using T = TunnelOptions;
constexpr bool kInPlace = true;
constexpr bool kNotInPlace = false;

const OptionRow kOptions[] = {
    Row<&T::addresses>("Address"),
    Row<&T::listen_port>("ListenPort"),
    Row<&T::protocol>("Protocol", kNotInPlace),
    Row<&T::datapath>("Datapath"),
    Row<&T::suite>("Suite", kNotInPlace),
    Row<&T::carriers>("Carrier", kInPlace, CarrierText),
    Row<&T::lanes>("Lanes"),
    Row<&T::mtu>("MTU", kInPlace, MtuText),
    Row<&T::mss_clamp>("MSSClamp"),
    Row2<&T::dscp, &T::dscp_value>("DSCP", DscpText),
    Row2<&T::table, &T::table_number>("Table", TableText),
    Row<&T::metric>("Metric"),
    Row<&T::fwmark>("FwMark", kInPlace, MarkText),
    Row<&T::reject_when_down>("RejectWhenDown"),
    Row<&T::rekey_s>("Rekey"),
};

// Hooks are told line by line, for they may be long and many.
void CompareHooks(const Hooks& before, const Hooks& after, Difference* out) {
  const auto compare = [out](const char* option, const std::vector<std::string>& a,
                             const std::vector<std::string>& b) {
    if (a == b) return;
    out->lines.push_back(absl::StrCat(option, ": ", a.empty() ? "none" : absl::StrJoin(a, "; "),
                                      " -> ", b.empty() ? "none" : absl::StrJoin(b, "; ")));
  };
  compare("PreUp", before.pre_up, after.pre_up);
  compare("PostUp", before.post_up, after.post_up);
  compare("PreDown", before.pre_down, after.pre_down);
  compare("PostDown", before.post_down, after.post_down);
}

void Refuse(std::string line, Difference* out) {
  out->refused.push_back(line);
  out->lines.push_back(std::move(line));
}

void CompareOptions(const TunnelOptions& before, const TunnelOptions& after, Difference* out) {
  TunnelOptions known = before;
  for (const OptionRow& row : kOptions) {
    if (row.same(before, after)) continue;
    row.take(after, &known);
    std::string line = absl::StrCat(row.option, ": ", row.text(before), " -> ", row.text(after));
    if (row.in_place) {
      out->lines.push_back(std::move(line));
    } else {
      Refuse(std::move(line), out);
    }
  }
  CompareHooks(before.hooks, after.hooks, out);
  known.hooks = after.hooks;
  known.path = after.path;  // for messages only
  out->addresses = before.addresses != after.addresses;
  out->listen_port = before.listen_port != after.listen_port;
  out->fwmark = before.fwmark != after.fwmark;
  out->datapath = before.datapath != after.datapath || before.carriers != after.carriers;
  // The table above and the model disagree: a mistake of ours that must not go unnoticed.
  if (!(known == after)) Refuse("an option of [Interface] that reload does not know", out);
}

// ---- peers ----

// Which peer of `tunnel` has the key of another one.
class PeerFinder {
 public:
  explicit PeerFinder(const Tunnel& tunnel) {
    for (size_t i = 0; i < tunnel.peers.size(); ++i) {
      const Peer& peer = tunnel.peers[i];
      if (peer.shared_key.has_value()) {
        shared_.Insert(peer.shared_key->UnsafeBytes(), i);
      } else {
        public_.emplace(peer.public_key, i);
      }
    }
  }
  std::optional<size_t> Find(const Peer& peer) const {
    if (peer.shared_key.has_value()) return shared_.Find(peer.shared_key->UnsafeBytes());
    const auto it = public_.find(peer.public_key);
    return it == public_.end() ? std::nullopt : std::optional<size_t>(it->second);
  }

 private:
  absl::flat_hash_map<std::array<uint8_t, 32>, size_t> public_;
  SecretIndex shared_;
};

std::string Seconds(int value) { return value == 0 ? "off" : absl::StrCat(value); }

void ComparePrefixes(const std::string& peer, const std::vector<IpPrefix>& before,
                     const std::vector<IpPrefix>& after, Difference* out) {
  std::vector<IpPrefix> a = before, b = after, gone, come;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(gone));
  std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(come));
  for (const IpPrefix& prefix : gone) {
    out->lines.push_back(absl::StrCat(peer, "AllowedIPs - ", prefix.ToString()));
  }
  for (const IpPrefix& prefix : come) {
    out->lines.push_back(absl::StrCat(peer, "AllowedIPs + ", prefix.ToString()));
  }
  if (gone.empty() && come.empty() && before != after) {
    out->lines.push_back(absl::StrCat(peer, "AllowedIPs in another order"));
  }
}

void ComparePreshared(const std::string& peer, const Peer& before, const Peer& after,
                      Difference* out) {
  if (before.preshared_key == after.preshared_key) return;
  const char* what = !before.preshared_key.has_value()  ? "added"
                     : !after.preshared_key.has_value() ? "removed"
                                                        : "changed";
  out->lines.push_back(absl::StrCat(peer, "PresharedKey ", what, ": new handshake"));
}

void CompareKept(const Peer& before, const Peer& after, KeptPeer* kept, Difference* out) {
  if (before == after) return;
  kept->changed = true;
  const std::string peer = absl::StrCat("peer ", after.name, ": ");
  PeerOptions known = before;
  if (before.name != after.name) {
    out->lines.push_back(absl::StrCat(peer, "Name: ", before.name, " -> ", after.name));
  }
  if (before.endpoints != after.endpoints) {
    kept->endpoints = true;
    out->lines.push_back(
        absl::StrCat(peer, "Endpoint: ", Text(before.endpoints), " -> ", Text(after.endpoints)));
  }
  ComparePreshared(peer, before, after, out);
  ComparePrefixes(peer, before.allowed_ips, after.allowed_ips, out);
  const auto compare = [&](const char* option, int PeerOptions::*member) {
    if (before.*member == after.*member) return;
    out->lines.push_back(
        absl::StrCat(peer, option, ": ", Seconds(before.*member), " -> ", Seconds(after.*member)));
    known.*member = after.*member;
  };
  compare("PersistentKeepalive", &PeerOptions::persistent_keepalive_s);
  compare("Ping", &PeerOptions::ping_s);
  compare("PingTimeout", &PeerOptions::ping_timeout_s);
  known.name = after.name;
  known.endpoints = after.endpoints;
  known.allowed_ips = after.allowed_ips;
  // See CompareOptions. `auth` and keys are what the two were matched by.
  if (!(known == after)) Refuse(absl::StrCat(peer, "an option that reload does not know"), out);
}

void ComparePeers(const Tunnel& before, const Tunnel& after, Difference* out) {
  const PeerFinder old(before);
  std::vector<bool> stays(before.peers.size(), false);
  for (size_t i = 0; i < after.peers.size(); ++i) {
    const std::optional<size_t> was = old.Find(after.peers[i]);
    if (!was.has_value()) {
      out->added.push_back(i);
      continue;
    }
    stays[*was] = true;
    out->kept.push_back({*was, i});
  }
  for (size_t i = 0; i < stays.size(); ++i) {
    if (stays[i]) continue;
    out->removed.push_back(i);
    out->lines.push_back(absl::StrCat("peer ", before.peers[i].name, ": removed"));
  }
  bool in_order = true;
  for (size_t i = 0; i < out->kept.size(); ++i) {
    KeptPeer& kept = out->kept[i];
    in_order &= i == 0 || out->kept[i - 1].before < kept.before;
    CompareKept(before.peers[kept.before], after.peers[kept.after], &kept, out);
  }
  for (const size_t i : out->added) {
    const Peer& peer = after.peers[i];
    out->lines.push_back(
        absl::StrCat("peer ", peer.name, ": added, AllowedIPs ", Text(peer.allowed_ips)));
  }
  if (!in_order) out->lines.push_back("peers in another order");
}

}  // namespace

Difference FindDifference(const Tunnel& before, const Tunnel& after) {
  Difference out;
  if (before.classic.has_value() || after.classic.has_value()) {
    if (!(before == after)) Refuse("options of protocol 3", &out);
    return out;
  }
  CompareOptions(before, after, &out);
  if (!(before.private_key == after.private_key)) {
    out.private_key = true;
    out.lines.push_back("PrivateKey changed: every session is made anew");
  }
  ComparePeers(before, after, &out);
  return out;
}

}  // namespace cipe::config
