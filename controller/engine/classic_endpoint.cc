// Where the peer of a protocol 3 tunnel is: what may become its endpoint, who is asked for a key,
// and when its name is looked up again.
#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "classic/block.h"
#include "config/endpoint_address.h"
#include "engine/classic_peers.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;
using classic::Under;

// Questions to strangers, all together.
constexpr Duration kAskAgain = 1s;
// A peer that is sent to and says nothing for so long may have another address by now.
constexpr Duration kSilence = 10s;

bool IsDynamic(Under under) { return under == Under::kDynamic || under == Under::kPrevious; }

}  // namespace

// On every road of the data path, and behind SOCKS, a source address is what somebody wrote.
bool ClassicPeers::Possible(const Peer& peer, const session::Path& path) {
  const Tunnel& tunnel = *peer.tunnel;
  const config::ClassicOptions& options = *tunnel.config.classic;
  const Endpoint& remote = path.remote;
  if (remote == peer.path.path.Get().remote) return true;
  if (!remote.is_set() || !remote.address.is_v4() || !config::WhyNoHost(remote.address).empty()) {
    return false;
  }
  const bool loopback = absl::StartsWith(options.me.host, "127.") ||
                        (!options.LearnsPeer() && absl::StartsWith(options.peer.host, "127."));
  if (remote.address.octets[0] == 127 && !loopback) return false;
  // What goes into the tunnel cannot carry it, and we are not our own peer.
  if (remote.address == tunnel.classic->ptpaddr || remote.address == options.ipaddr) return false;
  if (remote == Endpoint{path.local, tunnel.listen_port}) return false;
  // Behind SOCKS the address belongs to another network, of which our routes know nothing.
  return loopback || tunnel.classic->path.socks || world_.MayBePeer(remote, tunnel.listen_port);
}

void ClassicPeers::Learn(Peer& peer, Under under, const session::Path& path, bool proven) {
  ClassicState& state = *peer.tunnel->classic;
  const bool may = proven || IsDynamic(under) || state.path.roam_any ||
                   !state.path.peer_known.load(std::memory_order_relaxed);
  // Nobody can be answered at port 0.
  if (!may || !path.remote.is_set()) return;
  if (!Possible(peer, path)) return;
  // nokey has no exchange that could make the peer known: whoever comes first is.
  if (IsDynamic(under) || under == Under::kNothing) state.path.peer_known = true;
  const session::Path before = peer.path.path.Get();
  if (before == path) return;
  peer.path.path.Set(path);
  if (before.remote == path.remote) return;
  LogOf(peer, absl::StrCat("new peer ", path.remote.ToString()));
  Tell(peer);
}

void ClassicPeers::Ask(Peer& peer, const session::Path& path) {
  ClassicState& state = *peer.tunnel->classic;
  const Instant now = clock_.Now();
  if (now < state.next_ask || !path.remote.is_set() || !Possible(peer, path)) return;
  state.next_ask = now + kAskAgain;
  state.asked = path.remote;
  classic::Step::Outgoing question;
  question.block.kind = classic::Kind::kRequest;
  question.under = Under::kStatic;
  SendBlock(peer, question, path, classic::kLeastBlock);
}

bool ClassicPeers::Silent(const Peer& peer) const {
  const int64_t now = ToNanos(clock_.Now());
  const int64_t silence = std::chrono::nanoseconds(kSilence).count();
  const int64_t sent = peer.path.last_sent.load(std::memory_order_relaxed);
  const int64_t received = peer.path.last_received.load(std::memory_order_relaxed);
  return sent > received && now - sent < silence && now - received >= silence;
}

void ClassicPeers::LookUp(Peer& peer, Instant now, Instant* next) {
  ClassicState& state = *peer.tunnel->classic;
  if (!state.named) return;
  *next = std::min(*next, now + kSilence / 2);
  if (state.next_lookup == Instant{}) state.next_lookup = now + kSilence;
  if (now < state.next_lookup || !Silent(peer)) return;
  state.next_lookup = now + kSilence;
  world_.EndpointFailed(peer.tunnel->id(), peer.id(), peer.configured);
}

void ClassicPeers::OnResolved(Peer& peer, const Endpoint& endpoint) {
  ClassicState& state = *peer.tunnel->classic;
  const Endpoint before = peer.path.path.Get().remote;
  if (before == endpoint || (Connected(*peer.tunnel) && !Silent(peer))) return;
  peer.path.path.Set({endpoint, {}});
  if (before.is_set()) {
    LogOf(peer, absl::StrCat(before.ToString(), " does not answer; the peer's name means ",
                             endpoint.ToString(), " now"));
  }
  if (!state.started) return;
  Start(*peer.tunnel);
  if (before.is_set() && state.exchange.has_value()) {
    Apply(peer, state.exchange->Retry(clock_.Now()), nullptr);
  }
}

}  // namespace cipe::engine
