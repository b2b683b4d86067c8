#include "tools/cipectl/render_human.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/counted.h"
#include "tools/cipectl/units.h"

namespace cipe::cipectl {
namespace {

using control::DropCount;
using control::Object;
using control::PeerSnapshot;
using control::PeerStatus;
using control::Rung;
using control::Snapshot;
using control::TunnelStatus;

void Line(std::string* out, int indent, absl::string_view name, const std::string& value) {
  absl::StrAppend(out, std::string(static_cast<size_t>(indent), ' '), name, ": ", value, "\n");
}

std::string TrafficText(const control::Traffic& traffic) {
  return absl::StrCat(HumanSize(traffic.rx_bytes), " in ", Counted(traffic.rx_packets, "packet"),
                      " received, ", HumanSize(traffic.tx_bytes), " in ", traffic.tx_packets,
                      " sent");
}

std::string DropsText(const std::vector<DropCount>& drops) {
  std::string out;
  for (const DropCount& drop : drops) {
    if (drop.count == 0) continue;
    absl::StrAppend(&out, out.empty() ? "" : ", ", drop.count, " ", drop.reason);
  }
  return out;
}

void DropsLine(std::string* out, int indent, const std::vector<DropCount>& drops) {
  const std::string text = DropsText(drops);
  if (!text.empty()) Line(out, indent, "dropped", text);
}

bool Dropped(const std::vector<DropCount>& drops, absl::string_view reason) {
  return std::any_of(drops.begin(), drops.end(), [&](const DropCount& drop) {
    return drop.count > 0 && drop.reason == reason;
  });
}

// What a drop reason tells the person at this end to do.
struct Advice {
  const char* reason;
  const char* text;
};
constexpr Advice kAdvice[] = {
    {"hs_wrong_psk", "compare PresharedKey and the peer's PublicKey with the other end"},
    {"hs_other_suite", "set the same Suite at both ends"},
    {"hs_other_pattern", "use a key pair at both ends, or a shared key at both ends"},
    {"hs_other_protocol", "set the same Protocol at both ends"},
    {"hs_clock_behind", "set the other end's clock right, then 'cipectl forget-clock'"},
    {"hs_reflected",
     "correct Endpoint when it leads back to this host, else remove node-id of one of the two"},
    {"rx_source_not_allowed", "add the sources the peer sends from to its AllowedIPs"},
    {"tx_too_big", "lower MTU, or let ICMP 'too big' through on the path"},
};

std::string Suggestion(const PeerSnapshot& peer) {
  // The engine knows which of the drops belong to what keeps the session away now.
  if (peer.advice.has_value()) return *peer.advice;
  for (const Advice& advice : kAdvice)
    if (Dropped(peer.drops, advice.reason)) return advice.text;
  if (peer.status == PeerStatus::kNoAnswer) {
    return absl::StrCat("is UDP to ", peer.endpoint.value_or("the endpoint"),
                        " open, is ciped up there, and does it know our public key?");
  }
  if (peer.status == PeerStatus::kNoEndpoint) {
    return "start from the other end, or give this peer an Endpoint";
  }
  return "";
}

std::string RungText(Rung rung, const std::optional<std::string>& reason) {
  if (rung == Rung::kUnknown) return reason.value_or("not known yet");
  return absl::StrCat("rung ", control::RungNumber(rung), " of 3, ", control::RungSentence(rung),
                      reason.has_value() ? absl::StrCat(" (", *reason, ")") : "");
}

std::string StatusText(PeerStatus status) {
  std::string text = control::PeerStatusName(status);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

void AppendPeer(const PeerSnapshot& peer, int64_t now, int indent, std::string* out) {
  const int inner = indent + 2;
  Line(out, indent, absl::StrCat("peer ", peer.name), StatusText(peer.status));
  Line(out, inner, "key", peer.public_key == "shared" ? "shared key" : peer.public_key);
  Line(out, inner, "endpoint", peer.endpoint.value_or("none yet"));
  Line(out, inner, "allowed ips",
       peer.allowed_ips.empty() ? "none" : absl::StrJoin(peer.allowed_ips, ", "));
  std::string handshake = "never";
  if (peer.latest_handshake.has_value()) {
    const std::string age = HumanAge(now - *peer.latest_handshake);
    handshake = age == "now" ? age : age + " ago";
  }
  Line(out, inner, "latest handshake", handshake);
  Line(out, inner, "traffic", TrafficText(peer.traffic));
  if (peer.rung != Rung::kUnknown)
    Line(out, inner, "data path", RungText(peer.rung, peer.rung_reason));
  if (peer.path_mtu.has_value()) {
    Line(out, inner, "path mtu",
         absl::StrCat(*peer.path_mtu, peer.path_mtu_source.has_value()
                                          ? absl::StrCat(" (", *peer.path_mtu_source, ")")
                                          : ""));
  }
  if (peer.rtt_ms.has_value()) {
    Line(out, inner, "round trip", absl::StrFormat("%.1f ms", *peer.rtt_ms));
  }
  if (peer.persistent_keepalive.has_value()) {
    Line(out, inner, "keepalive", absl::StrCat("every ", HumanAge(*peer.persistent_keepalive)));
  }
  DropsLine(out, inner, peer.drops);
  if (peer.why.has_value()) Line(out, inner, "why", *peer.why);
  if (const std::string text = Suggestion(peer); !text.empty()) Line(out, inner, "try", text);
}

void AppendTunnel(const TunnelStatus& tunnel, std::string* out) {
  const std::string why = tunnel.reason.has_value() ? absl::StrCat(" (", *tunnel.reason, ")") : "";
  Line(out, 0, absl::StrCat("tunnel ", tunnel.name),
       absl::StrCat(control::TunnelStateName(tunnel.state), why));
  if (tunnel.public_key.has_value()) Line(out, 2, "public key", *tunnel.public_key);
  Line(out, 2, "protocol", absl::StrCat(tunnel.protocol, ", ", tunnel.suite));
  if (tunnel.insecure.has_value()) Line(out, 2, "INSECURE", *tunnel.insecure);
  if (!tunnel.addresses.empty()) Line(out, 2, "address", absl::StrJoin(tunnel.addresses, ", "));
  if (tunnel.listen_port.has_value()) Line(out, 2, "port", absl::StrCat(*tunnel.listen_port));
  if (tunnel.mtu.has_value()) Line(out, 2, "mtu", absl::StrCat(*tunnel.mtu));
  Line(out, 2, "data path", RungText(tunnel.rung, tunnel.rung_reason));
  for (const control::CarrierStatus& carrier : tunnel.carriers) {
    Line(out, 2, "carrier",
         absl::StrCat(carrier.name, ", ", carrier.queues,
                      carrier.queues == 1 ? " queue" : " queues", ", ", carrier.mode,
                      carrier.reason.has_value() ? absl::StrCat(" (", *carrier.reason, ")") : ""));
  }
  Line(out, 2, "traffic", TrafficText(tunnel.traffic));
  DropsLine(out, 2, tunnel.drops);
}

void AppendSessions(const Snapshot& snapshot, std::string* out) {
  if (snapshot.sessions.empty()) return absl::StrAppend(out, "no sessions\n");
  for (const control::SessionStatus& s : snapshot.sessions) {
    absl::StrAppend(
        out,
        absl::StrFormat("%s peer %s: %s, %s, index %08x here and %08x there, %d %s, made %s ago, "
                        "ends in %s, sent up to %d, received up to %s\n",
                        s.tunnel, s.peer, s.slot, s.role, s.local_index, s.remote_index, s.lanes,
                        s.lanes == 1 ? "lane" : "lanes", HumanAge(std::max<int64_t>(s.age_s, 1)),
                        HumanAge(std::max<int64_t>(s.expires_s, 1)), s.tx_counter,
                        s.rx_greatest.has_value() ? absl::StrCat(*s.rx_greatest) : "nothing"));
  }
}

void AppendDrops(const Snapshot& snapshot, std::string* out) {
  bool any = false;
  for (const control::DropStatus& drop : snapshot.drops) {
    if (drop.count == 0) continue;
    any = true;
    absl::StrAppend(out, absl::StrFormat("%10d  %s: %s: %s\n", drop.count, drop.scope, drop.reason,
                                         drop.sentence));
  }
  if (!any) absl::StrAppend(out, "nothing dropped\n");
}

void AppendAll(const Snapshot& snapshot, std::string* out) {
  for (const TunnelStatus& tunnel : snapshot.tunnels) {
    if (!out->empty()) out->push_back('\n');
    AppendTunnel(tunnel, out);
    for (const PeerSnapshot& peer : snapshot.peers) {
      if (peer.tunnel != tunnel.name) continue;
      out->push_back('\n');
      AppendPeer(peer, snapshot.time, 2, out);
    }
  }
}

}  // namespace

std::string RenderHuman(const Snapshot& snapshot, Object object) {
  std::string out;
  if (object == Object::kSessions) {
    AppendSessions(snapshot, &out);
  } else if (object == Object::kDrops) {
    AppendDrops(snapshot, &out);
  } else if (object == Object::kPeers) {
    for (const PeerSnapshot& peer : snapshot.peers) {
      if (!out.empty()) out.push_back('\n');
      absl::StrAppend(&out, "tunnel ", peer.tunnel, "\n");
      AppendPeer(peer, snapshot.time, 2, &out);
    }
    if (out.empty()) out = "no peers\n";
  } else {
    AppendAll(snapshot, &out);
    if (out.empty()) out = "no tunnels: 'cipectl up NAME' brings one up\n";
  }
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c != '\n' && absl::ascii_iscntrl(c); }, '?');
  return out;
}

}  // namespace cipe::cipectl
