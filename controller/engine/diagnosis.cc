// The likeliest reason why something is not as it should be, as far as this side can know, and what
// to do about just that. The order is that of certainty: what this host knows for itself, then what
// the peer's frames show, then silence.
#include "absl/strings/str_cat.h"
#include "engine/engine.h"

namespace cipe::engine {
namespace {

// What refused initiations show: somebody is there, but with other keys or another suite. They are
// counted for the tunnel, since who they came from is not known.
Engine::Diagnosis FromRefusals(const Peer& peer, const Attempt& attempt) {
  const session::DropCounters& refused = peer.tunnel->path.drops;
  if (peer.path.drops.Get(cipe_drop_hs_wrong_psk) > attempt.wrong_psk) {
    return {"wrong preshared key: its answer does not decrypt",
            "set the same PresharedKey at both ends"};
  }
  if (refused.Get(cipe_drop_hs_other_suite) > attempt.refused_other_suite) {
    return {absl::StrCat("suite: somebody who knows our key asks with another suite than ",
                         SuiteName(peer.tunnel->config.suite)),
            "set the same Suite at both ends"};
  }
  if (refused.Get(cipe_drop_hs_unknown_peer) > attempt.refused_unknown) {
    return {"wrong key: initiations come from a key that no [Peer] here has",
            "set PublicKey here to what `cipectl show tunnels` shows as public key at the other "
            "end"};
  }
  if (refused.Get(cipe_drop_hs_bad_mac1) > attempt.refused_mac1) {
    return {"wrong key: initiations come that were made for another public or shared key than ours",
            peer.shared.has_value()
                ? "set the same SharedKey at both ends"
                : "set PublicKey at the other end to what `cipectl show tunnels` shows as public "
                  "key here"};
  }
  return {};
}

// Under a key pair nobody can send our own messages back as a peer's; under a shared key anybody on
// the way can.
Engine::Diagnosis SameNode(const Peer& peer) {
  constexpr char kCopy[] = "it is a copy of this machine, made with its state directory";
  constexpr char kRemedy[] =
      "remove the file node-id from the state directory of one of the two, and restart ciped there";
  if (!peer.shared.has_value())
    return {absl::StrCat("node id: it has that of this host: ", kCopy), kRemedy};
  return {absl::StrCat("node id: it has that of this host: ",
                       peer.path.path.Get().remote.ToString(), " leads back to here, or ", kCopy),
          absl::StrCat("correct Endpoint when it leads back to here, else ", kRemedy)};
}

}  // namespace

std::string WhyDegraded(const Tunnel& tunnel) {
  if (!tunnel.datapath.degraded) return "";
  return absl::StrCat("Datapath = ", config::DatapathName(tunnel.config.datapath),
                      " could not be had as configured: ",
                      tunnel.datapath.reason.empty() ? "no reason known" : tunnel.datapath.reason);
}

Engine::Diagnosis Engine::WithoutAddress(const Peer& peer) {
  if (peer.config.endpoints.empty()) {
    return {"it has no Endpoint here, so it must start",
            "start from the other end, or give this peer an Endpoint"};
  }
  if (peer.name_trouble.empty()) {
    return {absl::StrCat("the name of its endpoint, ", peer.config.endpoints.front().ToString(),
                         ", has no address yet"),
            ""};
  }
  return {peer.name_trouble, absl::StrCat("correct Endpoint or the resolver's answer for ",
                                          peer.config.endpoints.front().host)};
}

Engine::Diagnosis Engine::NoAnswer(const Peer& peer) {
  const Attempt& attempt = *peer.attempt;
  const Endpoint remote = peer.path.path.Get().remote;
  const bool two = peer.configured.is_set() && !(peer.configured == remote);
  return {
      absl::StrCat("no answer from ", remote.ToString(),
                   two ? absl::StrCat(" or ", peer.configured.ToString()) : "", " to ",
                   attempt.initiations, attempt.initiations == 1 ? " initiation" : " initiations",
                   ": it is down, the path is blocked, or its keys, suite or clock differ"),
      absl::StrCat("is UDP to ", remote.ToString(),
                   " open, is ciped up there, and does it know our public key?")};
}

Engine::Diagnosis Engine::Dead(const Peer& peer) const {
  const int64_t heard = peer.path.last_received.load(std::memory_order_relaxed);
  const auto ago =
      std::chrono::duration_cast<std::chrono::seconds>(clock_.Now() - FromNanos(heard)).count();
  return {absl::StrCat("no answer to ", Liveness::kMisses, " pings in a row through the tunnel",
                       heard == 0 ? "" : absl::StrCat(", last heard ", ago, " s ago")),
          "is the other end up, and does the path to it still work?"};
}

Engine::Diagnosis Engine::Diagnose(const Peer& peer) const {
  if (ClassicPeers::Is(*peer.tunnel)) return {ClassicPeers::WhyNot(peer), ""};
  if (peer.current != nullptr && !peer.liveness.dead()) return {};
  if (peer.clock_behind) {
    return {
        absl::StrCat("clock: its initiations are older than the last one accepted, so its clock ",
                     "is behind now or was ahead then; if it is right now, `cipectl "
                     "forget-clock ",
                     peer.tunnel->config.name, " ", peer.config.name, "` lets it in"),
        absl::StrCat("set the other end's clock right, then `cipectl forget-clock ",
                     peer.tunnel->config.name, " ", peer.config.name, "`")};
  }
  if (peer.own_id_back) return SameNode(peer);
  if (!peer.path.path.Get().remote.is_set()) return WithoutAddress(peer);
  if (!peer.send_trouble.empty()) {
    const std::string& links = peer.tunnel->datapath.trouble;
    return {absl::StrCat(peer.send_trouble, links.empty() ? "" : "; ", links),
            links.empty()
                ? "is there a route to the endpoint, and does the firewall here let UDP out?"
                : "bring the carrier up"};
  }
  if (!peer.tunnel->datapath.trouble.empty()) {
    return {peer.tunnel->datapath.trouble, "bring the carrier up, or plug it in"};
  }
  if (peer.liveness.dead() && (peer.current != nullptr || !peer.attempt.has_value())) {
    return Dead(peer);
  }
  if (!peer.attempt.has_value()) return {peer.trouble, ""};
  if (peer.attempt->waiting_for_floor) {
    return {peer.trouble.empty() ? "waiting for the state directory" : peer.trouble, ""};
  }
  if (Diagnosis known = FromRefusals(peer, *peer.attempt); !known.why.empty()) return known;
  if (!peer.trouble.empty()) {
    return {peer.trouble,
            "is ciped up there, on that port, and does nothing on the way refuse it?"};
  }
  return NoAnswer(peer);
}

}  // namespace cipe::engine
