// What status says of tunnels of protocol 3.
#include <chrono>

#include "absl/strings/str_cat.h"
#include "engine/classic_peers.h"

namespace cipe::engine {
namespace {

using std::chrono::duration_cast;
using std::chrono::seconds;

const char* SuiteOf(const config::ClassicOptions& o) {
  if (o.nokey) return "none";
  if (o.cipher == config::ClassicCipher::kBlowfish) return "blowfish";
  return o.idea_order == config::IdeaOrder::kBig ? "idea-be" : "idea";
}

control::SessionStatus KeyStatus(const Peer& peer, const char* role, Instant since,
                                 Duration lifetime, Instant now) {
  control::SessionStatus s;
  s.tunnel = peer.tunnel->config.name;
  s.peer = peer.config.name;
  s.slot = "current";
  s.role = role;
  s.age_s = duration_cast<seconds>(now - since).count();
  s.expires_s =
      lifetime == Duration::zero() ? 0 : duration_cast<seconds>(since + lifetime - now).count();
  return s;
}

}  // namespace

bool ClassicPeers::Connected(const Tunnel& tunnel) {
  const ClassicState& state = *tunnel.classic;
  if (state.path.socks && !state.path.relay.Get().remote.is_set()) return false;
  if (state.link == nullptr) return tunnel.peers.front()->path.path.Get().remote.is_set();
  // While a new key is agreed the old ones of both ends still say that the peer is there.
  return state.link->has_send_key() || (state.heard && state.link->has_receive_key());
}

std::string ClassicPeers::WhyNot(const Peer& peer) {
  const ClassicState& state = *peer.tunnel->classic;
  if (Connected(*peer.tunnel)) return "";
  const Endpoint remote = peer.path.path.Get().remote;
  if (state.path.socks && !state.path.relay.Get().remote.is_set()) {
    return absl::StrCat("no SOCKS5 relay: ", state.relay_state);
  }
  if (!remote.is_set()) {
    if (!peer.name_trouble.empty()) return peer.name_trouble;
    if (state.asked.is_set()) {
      return absl::StrCat("packets come from ", state.asked.ToString(),
                          " under a key from before the start of this end; it is asked for a new "
                          "one");
    }
    return !peer.config.endpoints.empty()
               ? absl::StrCat("the name of its endpoint, ",
                              peer.config.endpoints.front().ToString(), ", has no address yet")
               : "its endpoint is not known here, so it must start";
  }
  const std::string& links = peer.tunnel->datapath.trouble;
  if (!peer.send_trouble.empty()) {
    return absl::StrCat(peer.send_trouble, links.empty() ? "" : "; ", links);
  }
  if (!links.empty()) return links;
  if (!peer.trouble.empty()) return peer.trouble;
  if (peer.path.drops.Get(cipe_drop_rx_classic_timestamp) > 0) {
    return "the clocks of the two ends differ by more than tokxts: set them right, or tokxts = 0";
  }
  if (peer.path.drops.Get(cipe_drop_rx_classic_crc) > 0) {
    return "wrong key or cipher: packets come that do not match their CRC";
  }
  return absl::StrCat("no answer from ", remote.ToString(),
                      ": it is down, the path is blocked, or its key or cipher differ");
}

control::PeerStatus ClassicPeers::StatusOf(const Peer& peer) {
  const ClassicState& state = *peer.tunnel->classic;
  if (Connected(*peer.tunnel)) return control::PeerStatus::kConnected;
  if (!peer.path.path.Get().remote.is_set()) return control::PeerStatus::kNoEndpoint;
  const bool answered = state.exchange.has_value() && state.exchange->receive_since().has_value();
  return answered ? control::PeerStatus::kHandshaking : control::PeerStatus::kNoAnswer;
}

void ClassicPeers::Describe(const Tunnel& tunnel, control::TunnelStatus* status) {
  const config::ClassicOptions& options = *tunnel.config.classic;
  status->suite = SuiteOf(options);
  status->insecure =
      options.nokey
          ? "no encryption at all (nokey): anybody on the path can read and send"
          : "protocol 3: packets can be forged and replayed, and who learns the key can read old "
            "traffic; `cipectl convert` writes a configuration for protocol 5";
}

std::vector<control::SessionStatus> ClassicPeers::Keys(const Peer& peer, Instant now) {
  std::vector<control::SessionStatus> keys;
  const ClassicState& state = *peer.tunnel->classic;
  if (!state.exchange.has_value()) return keys;
  const Duration tokey = seconds(peer.tunnel->config.classic->tokey);
  if (const auto since = state.exchange->send_since()) {
    keys.push_back(KeyStatus(peer, "sender", *since, tokey, now));
    keys.back().tx_counter = state.link->sent_packets();
  }
  if (const auto since = state.exchange->receive_since()) {
    keys.push_back(KeyStatus(peer, "receiver", *since, 2 * tokey, now));
    keys.back().rx_greatest = state.link->received_packets();
  }
  return keys;
}

}  // namespace cipe::engine
