// What the engine needs from outside: sockets, workers, the broker. The daemon's is in
// engine_process.cc; simulations bring their own.
#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "control/event.h"
#include "ipc/messages.h"
#include "session/peer_path.h"

namespace cipe::engine {

class World {
 public:
  virtual ~World() = default;

  // One datagram (handshake, keepalive, in-tunnel control), Not-ECT. Losing it is allowed. Returns
  // 0, or the errno for which this host could not even try.
  virtual int Send(uint32_t tunnel, const session::Path& path, absl::Span<const uint8_t> frame) = 0;
  // A session to send on has come: packets that waited may go.
  virtual void SendStaged(uint32_t tunnel) = 0;
  // These peers go: packets that wait for a session with one of them are dropped. When it returns
  // no worker keeps a pointer to one beyond its turn.
  virtual void DropStaged(uint32_t tunnel, absl::Span<const session::PeerPath* const> peers) = 0;
  // Returns when no worker has frames of this tunnel in hand that it sealed before the call.
  virtual void Settle(uint32_t tunnel) = 0;
  // Keep these time stamps beyond this process, from before this returns. With `must_be_durable`
  // the reservation is one to be made, and Engine::FloorSaved follows when it is on disk or cannot
  // be.
  virtual void SaveFloor(uint32_t tunnel, uint32_t peer, const ipc::Floor& floor,
                         bool must_be_durable) = 0;
  // No answer came from this configured endpoint of the peer; Engine::EndpointResolved follows,
  // maybe at once, when there is another.
  virtual void EndpointFailed(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint) = 0;
  // The smallest MTU announced by a peer of the tunnel changed, octets.
  virtual void SmallestMtu(uint32_t tunnel, uint32_t mtu) = 0;
  // Frames to the peer leave from this address of ours now; Engine::SourceGone when that should
  // end.
  virtual void PathUsed(uint32_t /*tunnel*/, uint32_t /*peer*/, const session::Path& /*path*/) {}
  // What does the kernel know of the way to the peer? Engine::PathMtuKnown is the answer.
  virtual void AskPathMtu(uint32_t tunnel, uint32_t peer, const Endpoint& endpoint) = 0;
  // Protocol 3: who the peer is and which address its netdev has (unset = not known yet), once it
  // was heard and whenever that changes.
  virtual void ClassicPeer(uint32_t tunnel, const Endpoint& peer, const IpAddress& ptpaddr) = 0;
  // Protocol 3: the documented end of the tunnel; it has to be taken down.
  virtual void ClassicOver(uint32_t tunnel, const std::string& reason) = 0;
  // For whoever watches (control/event.h); may be called however often.
  virtual void Report(const control::Event&) {}
  // False: no peer can have this address, for this host says that it is its own or a broadcast
  // address. Asked once per address that is new.
  virtual bool MayBePeer(const Endpoint&, uint16_t /*own_port*/) { return true; }
  // Something a waiting client or a log reader wants to know at once.
  virtual void PeerConnected(uint32_t tunnel, uint32_t peer) = 0;
};

}  // namespace cipe::engine
