// Frames of the control thread on their way out, and what this host itself says against them.
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "engine/engine.h"

namespace cipe::engine {

void NoteSent(Peer& peer, const Endpoint& to, int error) {
  if (error == 0) return peer.send_trouble.clear();
  peer.path.drops.Add(cipe_drop_tx_send_error);
  // EPERM is what sendmsg(2) says when a rule for outgoing packets drops the frame.
  peer.send_trouble =
      absl::StrCat("this host cannot send to ", to.ToString(), ": ", std::strerror(error),
                   error == EPERM ? " (by a firewall rule here)" : "");
}

void Engine::SendTo(Peer& peer, const session::Path& path, absl::Span<const uint8_t> frame) {
  NoteSent(peer, path.remote, world_.Send(peer.tunnel->id(), path, frame));
}

void Engine::UsePath(Peer& peer, const session::Path& path) {
  peer.path.path.Set(path);
  if (path.local.is_set()) world_.PathUsed(peer.tunnel->id(), peer.id(), path);
}

void Engine::SendKeepalives(uint32_t id) {
  Tunnel* tunnel = FindTunnel(id);
  if (tunnel == nullptr) return;
  for (const auto& peer : tunnel->peers) SendKeepalive(*peer);
}

void Engine::SourceGone(uint32_t tunnel, uint32_t id, const session::Path& path) {
  Peer* peer = FindPeer(tunnel, id);
  if (peer == nullptr || !(peer->path.path.Get() == path)) return;
  Log(Severity::kInfo, peer->tunnel->config.name, ": peer ", peer->config.name,
      " is not sent to from ", path.local.ToString(), " any more");
  peer->path.path.Set({path.remote, {}});
  SendKeepalive(*peer);
}

}  // namespace cipe::engine
