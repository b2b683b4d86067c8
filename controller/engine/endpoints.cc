// Where initiations go: the endpoint that was learned last and those that the broker's endpoint
// book gives, one after the other.
#include <utility>

#include "engine/engine.h"

namespace cipe::engine {
namespace {

using namespace std::chrono_literals;

// The book answers at once when it has another endpoint, so the next try waits for that.
constexpr auto kBookAnswers = 200ms;

}  // namespace

void Engine::TakeFromBook(Peer& peer) {
  peer.from_book = peer.configured;
  peer.path.path.Set({peer.configured, {}});
}

bool Engine::FromBook(const Peer& peer, const Endpoint& remote) {
  return remote == peer.configured || remote == peer.from_book;
}

// A learned endpoint that is silent may be stale, and so may a configured one: they take turns, the
// learned one first. Every other try also leaves our own address to the kernel, in case it is gone.
// Data goes where it went until somebody answers.
session::Path Engine::PathOfNextTry(const Peer& peer) {
  const Attempt& attempt = *peer.attempt;
  const session::Path known = peer.path.path.Get();
  const session::Path given{peer.configured.is_set() ? peer.configured : known.remote, {}};
  const bool first = attempt.tries_here % 2 == 0;
  if (!known.remote.is_set()) return given;
  if (FromBook(peer, known.remote) && !(known.remote == given.remote)) {
    // It was given up before this one was given, and has its turn again when the book says so.
    if (attempt.moved) return given;
    // The session works at a less preferred endpoint: no loss to try the other one first.
    if (attempt.rekey) return first ? given : known;
  }
  return first ? known : given;
}

// True when the configured endpoint has had its tries: the book is told, and the next try waits a
// moment for what it says.
bool Engine::GiveUpEndpoint(Peer& peer, Instant now) {
  Attempt& attempt = *peer.attempt;
  if (attempt.tries_here < kTries) return false;
  attempt.tries_here = 0;
  if (!peer.configured.is_set()) return false;
  attempt.failed = true;
  attempt.retry_at = now + kBookAnswers;
  world_.EndpointFailed(peer.tunnel->id(), peer.id(), peer.configured);
  return true;
}

void Engine::EndpointResolved(uint32_t tunnel, uint32_t id, const Endpoint& endpoint,
                              const std::string& trouble) {
  Peer* peer = FindPeer(tunnel, id);
  if (peer == nullptr) return;
  peer->name_trouble = trouble;
  if (!endpoint.is_set()) return;  // the last address that was known goes on being tried
  const Endpoint before = std::exchange(peer->configured, endpoint);
  if (ClassicPeers::Is(*peer->tunnel)) {
    classic_.OnResolved(*peer, endpoint);
    return SavePeer(*peer);
  }
  // The same answer is no news: whoever was given up waits for traffic.
  if (before == endpoint) return;
  Wake(*peer);
  const Endpoint remote = peer->path.path.Get().remote;
  // An authenticated path wins over what is configured, as long as it lasts.
  if (!Connected(*peer) && (!remote.is_set() || remote == before || remote == peer->from_book)) {
    TakeFromBook(*peer);
    SavePeer(*peer);
  }
  if (peer->attempt.has_value()) {
    peer->attempt->moved = true;
    peer->attempt->tries_here = 0;
    // Who has failed once is not waited for; one that was only just asked gets its time.
    if (peer->attempt->failed) peer->attempt->retry_at = clock_.Now();
  } else if (!Connected(*peer)) {
    StartHandshake(*peer);
  }
}

}  // namespace cipe::engine
