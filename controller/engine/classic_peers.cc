#include "engine/classic_peers.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "classic/block.h"
#include "classic/packet.h"
#include "classic/socks_header.h"
#include "config/endpoint_address.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;
using classic::Under;
using dataplane::Event;
using dataplane::EventType;

// How long netdevs rest for a key that is on its way; then packets are read, and may be dropped.
constexpr Duration kPause = 250ms;
constexpr Duration kNever = 3600s;
constexpr Duration kAskAgain = 1s;
constexpr Duration kCandidate = 10s;

classic::Algorithm AlgorithmOf(const config::ClassicOptions& o) {
  if (o.cipher == config::ClassicCipher::kBlowfish) return classic::Algorithm::kBlowfish;
  return o.idea_order == config::IdeaOrder::kBig ? classic::Algorithm::kIdeaBigEndian
                                                 : classic::Algorithm::kIdea;
}

classic::Timing TimingOf(const config::ClassicOptions& o) {
  classic::Timing t;
  t.tokxc = std::chrono::seconds(o.tokxc);
  t.tokey = std::chrono::seconds(o.tokey);
  t.tokxts = std::chrono::seconds(o.tokxts);
  t.ping = std::chrono::seconds(o.ping);
  t.toping = std::chrono::seconds(o.toping);
  t.max_errors = o.maxerr;
  return t;
}

}  // namespace

absl::Status ClassicPeers::Fill(Tunnel& tunnel) {
  config::ClassicOptions& options = *tunnel.config.classic;
  if (tunnel.peers.size() != 1) return absl::InternalError("a classic tunnel has one peer");
  Peer& peer = *tunnel.peers.front();
  auto state = std::make_unique<ClassicState>();
  const classic::Policy policy{options.static_data, options.roam_any, options.kill};
  if (!options.nokey) {
    if (!options.key.has_value()) {
      return absl::InvalidArgumentError("neither key nor nokey; set one of them");
    }
    classic::Link::Setup setup{AlgorithmOf(options), std::move(*options.key), policy};
    options.key.reset();
    CIPE_ASSIGN_OR_RETURN(state->link, classic::Link::Create(setup));
    state->exchange.emplace(TimingOf(options), policy, rng_);
  }
  dataplane::ClassicPath& path = state->path;
  path.link = state->link.get();
  path.peer = &peer.path;
  path.ttl = static_cast<uint8_t>(options.cttl);
  path.udp_checksum = options.udpsum;
  path.socks = options.socks.has_value();
  path.roam_any = options.roam_any;
  path.peer_known = !options.LearnsPeer();
  path.want_inner = true;
  if (options.LearnsPeer()) {
    peer.configured = {};
    peer.path.path.Set({});
  }
  if (!options.LearnsPtpaddr()) state->ptpaddr = options.ptpaddr;
  state->named = !options.LearnsPeer() && !IpAddress::Parse(options.peer.host).ok();
  tunnel.path.classic = &path;
  tunnel.classic = std::move(state);
  return absl::OkStatus();
}

void ClassicPeers::Start(Tunnel& tunnel) {
  ClassicState& state = *tunnel.classic;
  state.started = true;
  Peer& peer = *tunnel.peers.front();
  if (!state.exchange.has_value() || !peer.path.path.Get().remote.is_set() ||
      !state.path.SendPath().remote.is_set()) {
    return;
  }
  Apply(peer, state.exchange->Start(clock_.Now()), nullptr);
}

void ClassicPeers::Stop(Tunnel& tunnel) { tunnel.classic->started = false; }

void ClassicPeers::LogOf(const Peer& peer, const std::string& line) {
  uint64_t suppressed = 0;
  if (!peer.tunnel->classic->limiter.Allow(ToNanos(clock_.Now()), &suppressed)) return;
  const std::string more =
      suppressed > 0 ? absl::StrCat(" (and ", suppressed, " lines not shown)") : "";
  Log(Severity::kNotice, peer.tunnel->config.name, ": ", line, more);
}

void ClassicPeers::Apply(Peer& peer, classic::Step step, const Event* question) {
  Tunnel& tunnel = *peer.tunnel;
  ClassicState& state = *tunnel.classic;
  if (step.drop != 0) peer.path.drops.Add(step.drop);
  if (!step.log.empty()) LogOf(peer, step.log);
  if (step.drop_send_key) {
    const bool had = state.link->has_send_key();
    if (had) {
      state.pause_until = clock_.Now() + kPause;
      state.path.pause_until.store(ToNanos(*state.pause_until), std::memory_order_relaxed);
    }
    state.link->DropSendKey();
    // A peer of 1999 forgets the old key with our offer: what is sealed under it goes out first.
    if (had) world_.Settle(tunnel.id());
  }
  if (step.retire_receive_key) state.link->RetireReceiveKey(clock_.Now());
  Install(peer, step);
  for (const classic::Step::Outgoing& out : step.send) Send(peer, out, question);
  if (!step.end.empty()) End(peer, step);
}

// Who waits for any peer goes on waiting when one is gone: another one, or the same from another
// address, is as welcome as the first.
void ClassicPeers::End(Peer& peer, const classic::Step& step) {
  Tunnel& tunnel = *peer.tunnel;
  ClassicState& state = *tunnel.classic;
  if (!step.lost || !tunnel.config.classic->LearnsPeer()) {
    if (std::exchange(state.over, true)) return;
    Log(Severity::kError, tunnel.config.name, ": ", step.end, "; the tunnel ends");
    return world_.ClassicOver(tunnel.id(), step.end);
  }
  Log(Severity::kWarning, tunnel.config.name, ": ", step.end, "; ",
      peer.path.path.Get().remote.ToString(), " is forgotten, and whoever authenticates is next");
  Apply(peer, state.exchange->Rest(), nullptr);
  state.path.peer_known = false;
  state.heard = false;
  state.candidate = {};
  peer.path.path.Set({});
}

void ClassicPeers::Send(Peer& peer, const classic::Step::Outgoing& out, const Event* question) {
  using classic::Kind;
  const ClassicState& state = *peer.tunnel->classic;
  const bool answer = out.block.kind == Kind::kAcknowledge || out.block.kind == Kind::kPong;
  if (answer && question != nullptr) {
    return SendBlock(peer, out, question->path, question->size);
  }
  const session::Path path = peer.path.path.Get();
  SendBlock(peer, out, path, classic::kMostBlock);
  if (out.block.kind != Kind::kIndication || clock_.Now() > state.candidate_until) return;
  if (state.candidate.remote == path.remote) return;
  SendBlock(peer, out, state.candidate, classic::kMostBlock);
}

void ClassicPeers::Install(Peer& peer, const classic::Step& step) {
  ClassicState& state = *peer.tunnel->classic;
  const Instant now = clock_.Now();
  if (step.receive_key.has_value()) {
    const absl::Status status =
        state.link->InstallReceiveKey(*step.receive_key, now, step.lifetime);
    if (!status.ok()) LogOf(peer, absl::StrCat("the peer's key: ", status.message()));
  }
  if (!step.send_key.has_value()) return;
  const absl::Status status = state.link->InstallSendKey(*step.send_key, now, step.lifetime);
  if (!status.ok()) return LogOf(peer, absl::StrCat("our key: ", status.message()));
  state.path.pause_until = 0;
  state.pause_until.reset();
  // The peer has answered for a fresh key: this is who we were looking for.
  state.path.peer_known = true;
  state.candidate = {};
  state.asked = {};
  if (!peer.latest_handshake.has_value()) {
    Log(Severity::kInfo, peer.tunnel->config.name, ": key agreed with ",
        peer.path.path.Get().remote.ToString());
  }
  peer.latest_handshake = clock_.Wall();
  peer.trouble.clear();
  if (!std::exchange(state.heard, true)) Tell(peer);
  world_.SendStaged(peer.tunnel->id());
  world_.PeerConnected(peer.tunnel->id(), peer.id());
}

void ClassicPeers::SendBlock(Peer& peer, const classic::Step::Outgoing& out,
                             const session::Path& path, size_t most) {
  ClassicState& state = *peer.tunnel->classic;
  const session::Path to = state.path.socks ? state.path.relay.Get() : path;
  if (!path.remote.is_set() || !to.remote.is_set()) return;
  uint8_t block[classic::kMostBlock];
  const size_t size = classic::WriteBlock(out.block, clock_.Wall(), rng_, block, most);
  uint8_t datagram[classic::kSocksHeaderSize + classic::SealedSize(classic::kMostBlock) + 8];
  uint8_t* packet = datagram;
  if (state.path.socks) {
    classic::WriteSocksHeader(path.remote, datagram);
    packet += classic::kSocksHeaderSize;
  }
  const uint32_t sealed = classic::Assemble(classic::PacketType::kNewKey,
                                            absl::MakeConstSpan(block, size), rng_, packet);
  WipeMemory(block, sizeof block);
  classic::LinkReport report;
  state.link->SealBlock({packet, sealed}, out.under, clock_.Now(), &report);
  // Reports come again with the next packet; blocks alone never reach a limit in practice.
  const int error =
      world_.Send(peer.tunnel->id(), to,
                  absl::MakeConstSpan(datagram, static_cast<size_t>(packet - datagram) + sealed));
  if (!(path.remote == peer.path.path.Get().remote)) return;  // a stranger's troubles are his
  NoteSent(peer, to.remote, error);
  if (error == 0) {
    peer.path.last_sent.store(ToNanos(clock_.Now()), std::memory_order_relaxed);
  } else if (error != EMSGSIZE) {
    // 1999 counted these like what the network says. What this step sends fails within the same
    // second, which does not count.
    NetworkError(peer);
  }
}

void ClassicPeers::NetworkError(Peer& peer) {
  classic::Exchange& exchange = *peer.tunnel->classic->exchange;
  exchange.Heard(FromNanos(peer.path.last_received.load(std::memory_order_relaxed)));
  Apply(peer, exchange.OnNetworkError(clock_.Now()), nullptr);
}

void ClassicPeers::Tell(const Peer& peer) {
  const ClassicState& state = *peer.tunnel->classic;
  if (!state.heard) return;
  world_.ClassicPeer(peer.tunnel->id(), peer.path.path.Get().remote, state.ptpaddr);
}

void ClassicPeers::OnEvent(Peer& peer, const Event& event) {
  ClassicState& state = *peer.tunnel->classic;
  if (!state.started || state.over) return;
  switch (event.type) {
    case EventType::kClassicBlock:
      return OnBlock(peer, event);
    case EventType::kClassicReport:
      return OnReport(peer, event);
    case EventType::kClassicHeard:
      Learn(peer, static_cast<Under>(event.session), event.path);
      return Start(*peer.tunnel);
    case EventType::kClassicInner:
      return OnInner(peer, event);
    case EventType::kClassicError:
      return OnError(peer, event);
    default:
      return;
  }
}

void ClassicPeers::OnBlock(Peer& peer, const Event& event) {
  ClassicState& state = *peer.tunnel->classic;
  if (!state.exchange.has_value()) return;
  classic::Block block;
  const int drop = classic::ReadBlock(absl::MakeConstSpan(event.data.data(), event.size), &block);
  if (drop != 0) return peer.path.drops.Add(drop);
  if (!Possible(peer, event.path)) return peer.path.drops.Add(cipe_drop_rx_classic_other_source);
  const auto under = static_cast<Under>(event.session);
  const bool elsewhere = !(event.path.remote == peer.path.path.Get().remote);
  classic::Step step =
      state.exchange->OnBlock(block, under, clock_.Now(), clock_.Wall(), elsewhere);
  if (step.drop == 0) {
    if (elsewhere) {
      state.candidate = event.path;
      state.candidate_until = clock_.Now() + kCandidate;
    }
    Learn(peer, under, event.path, step.send_key.has_value());
  }
  Apply(peer, std::move(step), &event);
  Start(*peer.tunnel);
}

void ClassicPeers::OnReport(Peer& peer, const Event& event) {
  ClassicState& state = *peer.tunnel->classic;
  const uint8_t report = event.data[0];
  if (!state.exchange.has_value()) return;
  const Instant now = clock_.Now();
  const classic::LinkReport due = state.link->Due(now);
  if ((report & dataplane::kReportSendLimit) != 0 && due.send_limit) {
    Apply(peer, state.exchange->OnSendLimit(now), nullptr);
  }
  if ((report & dataplane::kReportReceiveLimit) != 0 && due.receive_limit) {
    Apply(peer, state.exchange->OnReceiveLimit(now), nullptr);
  }
  if ((report & dataplane::kReportNoKey) != 0 && due.no_key) {
    Apply(peer, state.exchange->OnNoReceiveKey(now), nullptr);
    if (!(event.path.remote == peer.path.path.Get().remote)) Ask(peer, event.path);
  }
  if ((report & dataplane::kReportBadPackets) != 0 && due.bad_packets &&
      event.path.remote == peer.path.path.Get().remote) {
    Apply(peer, state.exchange->OnBadPackets(now), nullptr);
  }
}

void ClassicPeers::OnInner(Peer& peer, const Event& event) {
  ClassicState& state = *peer.tunnel->classic;
  Learn(peer, static_cast<Under>(event.session), event.path);
  const IpAddress source = IpAddress::V4(event.data.data());
  const bool learns = !state.ptpaddr.is_set();
  if (learns &&
      (!config::WhyNoInnerHost(source).empty() || source == peer.tunnel->config.classic->ipaddr ||
       source == peer.path.path.Get().remote.address)) {
    // Not what anybody's netdev is called; perhaps the next packet says more.
    state.ask_inner = clock_.Now() + kAskAgain;
    return;
  }
  if (learns) {
    state.ptpaddr = source;
    LogOf(peer, absl::StrCat("the peer's tunnel address is ", source.ToString()));
  }
  if (!std::exchange(state.heard, true) || learns) Tell(peer);
}

void ClassicPeers::OnError(Peer& peer, const Event& event) {
  ClassicState& state = *peer.tunnel->classic;
  const int error = static_cast<int>(event.session);
  // A packet too big for the path is about that packet.
  if (error == EMSGSIZE || !(state.path.SendPath().remote == event.path.remote)) return;
  peer.trouble =
      absl::StrCat("the network answered for ", event.path.remote.ToString(), ": ",
                   error == ECONNREFUSED ? "nobody listens on that port" : std::strerror(error));
  if (state.exchange.has_value()) NetworkError(peer);
}

void ClassicPeers::OnRelay(Tunnel& tunnel, const Endpoint& relay, std::string text) {
  ClassicState& state = *tunnel.classic;
  state.relay_state = std::move(text);
  state.path.relay.Set({relay, {}});
  if (!state.started) return;
  Start(tunnel);
  if (!relay.is_set() || state.link == nullptr || !state.link->has_send_key()) return;
  // The peer sees us behind another port now, and has to be told to follow us there.
  classic::Step::Outgoing hello;
  hello.block.kind = classic::Kind::kDummy;
  hello.under = Under::kDynamic;
  Send(*tunnel.peers.front(), hello, nullptr);
}

void ClassicPeers::Renew(Tunnel& tunnel) {
  ClassicState& state = *tunnel.classic;
  if (!state.exchange.has_value() || !state.started) return;
  Peer& peer = *tunnel.peers.front();
  Apply(peer, state.exchange->OnSendLimit(clock_.Now()), nullptr);
  Apply(peer, state.exchange->OnReceiveLimit(clock_.Now()), nullptr);
}

Instant ClassicPeers::Tick(Tunnel& tunnel, Instant now) {
  ClassicState& state = *tunnel.classic;
  Peer& peer = *tunnel.peers.front();
  Instant next = now + kNever;
  if (!state.started || state.over) return next;
  const auto due = [&](std::optional<Instant>& when) {
    if (!when.has_value()) return false;
    if (now < *when) {
      next = std::min(next, *when);
      return false;
    }
    when.reset();
    return true;
  };
  if (due(state.pause_until)) world_.SendStaged(tunnel.id());
  if (due(state.ask_inner)) state.path.want_inner = true;
  LookUp(peer, now, &next);
  if (!state.exchange.has_value()) return next;
  state.exchange->Heard(FromNanos(peer.path.last_received.load(std::memory_order_relaxed)));
  Apply(peer, state.exchange->Tick(now), nullptr);
  return std::min(next, state.exchange->NextTick().value_or(next));
}

}  // namespace cipe::engine
