// The way to a peer: how large a packet it carries. What the kernel knows is asked of the broker,
// what the network claims is a hint, and what gets through is probed (session/path_prober.h).
#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "engine/engine.h"
#include "packet/ip_view.h"
#include "protocol/constants.h"
#include "protocol/control_tlv.h"

namespace cipe::engine {
namespace {

using session::PathFacts;
using session::PathMtuSource;

// What any path carries: RFC 791 and RFC 8200, section 5. No stranger gets a path below it.
constexpr uint32_t kLeastPath4 = 576, kLeastPath6 = 1280;
constexpr uint64_t kLargePacket = 400;  // octets, mean of what was sent

uint32_t OverheadTo(const Endpoint& endpoint) {
  const size_t ip = endpoint.address.is_v6() ? packet::kIpv6HeaderSize : packet::kIpv4HeaderSize;
  return static_cast<uint32_t>(ip + packet::kUdpHeaderSize + protocol::kDataOverhead);
}

PathFacts FactsOf(const Peer& peer, const Endpoint& to) {
  const PathProbing& known = *peer.probing;
  PathFacts facts;
  facts.overhead = OverheadTo(to);
  facts.least = (to.address.is_v6() ? kLeastPath6 : kLeastPath4) - facts.overhead;
  facts.most = peer.tunnel->mtu;
  const auto allow = [&](uint32_t most, PathMtuSource source) {
    if (most >= facts.most) return;
    facts.most = most;
    facts.source = source;
  };
  // A carrier that is narrower than any path may be gets fragments.
  const auto inner = [&](uint32_t mtu) {
    return std::max(mtu > facts.overhead ? mtu - facts.overhead : 0, facts.least);
  };
  if (known.link != 0) allow(inner(known.link), PathMtuSource::kInterface);
  if (known.route != 0) allow(inner(known.route), PathMtuSource::kRoute);
  allow(peer.path.mtu.load(), PathMtuSource::kPeer);
  return facts;
}

}  // namespace

void SetPathOptions(Tunnel& tunnel) {
  const config::Tunnel& config = tunnel.config;
  tunnel.path.mss_clamp = config.mss_clamp;
  tunnel.path.least_mtu = tunnel.least_mtu;
  tunnel.path.tos_mask = config.dscp == config::DscpChoice::kCopy ? 0xff : 0x03;
  tunnel.path.tos_value =
      config.dscp == config::DscpChoice::kValue ? static_cast<uint8_t>(config.dscp_value << 2) : 0;
}

// Another session, another endpoint, or none: to be called whenever peer.current or its path is
// set. A rekey over the same path changes nothing.
void Engine::FollowPath(Peer& peer) {
  if (peer.current == nullptr) {
    peer.probing.reset();
    return UpdateLimit(peer);
  }
  const bool fresh = peer.probing == nullptr;
  if (fresh) peer.probing = std::make_unique<PathProbing>();
  const Endpoint remote = peer.path.path.Get().remote;
  const bool moved = !(remote == peer.probing->asked);
  if (moved) {
    peer.probing->asked = remote;
    peer.probing->link = peer.probing->route = 0;
    if (remote.is_set()) world_.AskPathMtu(peer.tunnel->id(), peer.id(), remote);
  }
  StartProber(peer, fresh || moved);
}

// `anew`: what was learned does not hold any more, even if the facts are the same.
void Engine::StartProber(Peer& peer, bool anew) {
  if (peer.probing != nullptr) {
    const PathFacts facts = FactsOf(peer, peer.probing->asked);
    PathFacts before = peer.probing->prober.facts();
    before.least = facts.least;  // the prober's own may be less
    if (anew || !(facts == before)) peer.probing->prober.Start(facts);
  }
  UpdateLimit(peer);
}

void Engine::UpdateLimit(Peer& peer) {
  uint32_t limit = peer.path.mtu.load();
  if (peer.probing != nullptr) limit = std::min(limit, peer.probing->prober.limit());
  const uint32_t before = peer.path.limit.exchange(limit);
  if (before != limit) PathMtuChanged(peer, before);
}

// The one place where a change of what goes to a peer in one piece is noted.
void Engine::PathMtuChanged(const Peer& peer, uint32_t before) {
  if (peer.probing == nullptr || before == session::PeerPath::kAnyMtu) return;
  const session::PathProber& prober = peer.probing->prober;
  Log(Severity::kInfo, peer.tunnel->config.name, ": path MTU of peer ", peer.config.name, " is ",
      peer.path.limit.load(), " now, was ", before, " (",
      session::PathMtuSourceName(prober.source()), ")");
  world_.Report({control::EventKind::kPathMtuChanged,
                 peer.tunnel->config.name,
                 peer.config.name,
                 {{"path_mtu", peer.path.limit.load()},
                  {"before", before},
                  {"source", session::PathMtuSourceName(prober.source())}}});
}

void Engine::PathMtuKnown(const ipc::PathMtuKnown& known) {
  Peer* peer = FindPeer(known.tunnel, known.peer);
  if (peer == nullptr || peer->probing == nullptr || !(known.endpoint == peer->probing->asked)) {
    return;
  }
  PathProbing& probing = *peer->probing;
  probing.link = known.link;
  probing.route = known.route;
  StartProber(*peer, false);
  const uint32_t overhead = probing.prober.facts().overhead;
  if (known.learned > overhead) probing.prober.Hint(known.learned - overhead, clock_.Now());
}

void Engine::PathsChanged() {
  for (const auto& [id, tunnel] : tunnels_) {
    for (const auto& peer : tunnel->peers) {
      if (peer->probing == nullptr || !peer->probing->asked.is_set()) continue;
      world_.AskPathMtu(id, peer->id(), peer->probing->asked);
    }
  }
}

void Engine::PathHint(const dataplane::Event& event) {
  Tunnel* tunnel = FindTunnel(event.tunnel);
  if (tunnel == nullptr) return;
  for (const auto& peer : tunnel->peers) {
    if (peer->probing == nullptr || !(peer->probing->asked == event.path.remote)) continue;
    const uint32_t overhead = peer->probing->prober.facts().overhead;
    if (event.session > overhead) {
      peer->probing->prober.Hint(event.session - overhead, clock_.Now());
    }
  }
}

void Engine::ProbeAnswered(Peer& peer, uint64_t id, uint32_t seen) {
  if (peer.probing == nullptr) return;
  peer.probing->prober.Answered(id, seen, clock_.Now());
  UpdateLimit(peer);
}

Instant Engine::TickProber(Peer& peer, Instant now) {
  if (peer.probing == nullptr) return Instant::max();
  PathProbing& probing = *peer.probing;
  const uint64_t packets = peer.path.traffic.tx_packets.load(std::memory_order_relaxed);
  const uint64_t octets = peer.path.traffic.tx_bytes.load(std::memory_order_relaxed);
  if (packets != probing.packets) {
    probing.large = octets - probing.octets >= (packets - probing.packets) * kLargePacket;
    probing.packets = packets;
    probing.octets = octets;
  }
  const session::PathActivity activity{FromNanos(peer.path.last_data_sent.load()),
                                       FromNanos(peer.path.last_received.load()), probing.large};
  std::vector<session::PathProbe> probes;
  const Instant next = probing.prober.Tick(now, activity, &probes);
  UpdateLimit(peer);
  for (const session::PathProbe& probe : probes) SendProbe(peer, probe);
  return next;
}

// Not counted as trouble when this host itself says that it is too large: no answer is an answer.
void Engine::SendProbe(Peer& peer, const session::PathProbe& probe) {
  const protocol::ControlMessage request = protocol::EchoRequest{probe.id, 0};
  std::vector<uint8_t> plaintext(std::max<size_t>(probe.size, protocol::ControlSize(request)));
  if (protocol::BuildControl(request, absl::MakeSpan(plaintext)) == 0) return;
  const std::vector<uint8_t> frame = SealUnder(*peer.current, plaintext);
  if (frame.empty()) return;
  const session::Path path = peer.path.path.Get();
  const int error = world_.Send(peer.tunnel->id(), path, frame);
  if (error != EMSGSIZE) NoteSent(peer, path.remote, error);
}

}  // namespace cipe::engine
