// Where sessions outlive the engine: the BPF maps, or memory in simulations. Keys and counters are
// there before a frame is sent or accepted under them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "cipe/abi/maps.h"
#include "crypto/secret.h"
#include "session/session.h"

namespace cipe::engine {

// A session as a dead engine left it; `setup.path` is not filled in.
struct StoredSession {
  uint32_t peer = 0;
  uint32_t tunnel = 0;
  session::SessionSetup setup;
  session::Slot slot = session::Slot::kNone;
  bool confirmed = false;
  Secret<32> send;
  Secret<32> receive;
};

class SessionStore {
 public:
  virtual ~SessionStore() = default;

  // CIPE_MAX_LANE_SLOTS entries, written without a system call.
  virtual cipe_lane_state* lane_state() = 0;
  // Keys first, then the entry the XDP program steers by.
  virtual absl::Status Save(const session::Session& session, const Secret<32>& send,
                            const Secret<32>& receive) = 0;
  // Slot or confirmation changed.
  virtual absl::Status UpdateState(const session::Session& session) = 0;
  // The key entry is zeroed before it goes.
  virtual void Erase(uint32_t base) = 0;
  virtual void SavePeer(uint32_t peer, const cipe_peer& value) = 0;
  virtual bool LoadPeer(uint32_t peer, cipe_peer* value) = 0;
  virtual void ErasePeer(uint32_t peer) = 0;
  // What an engine before this one left; entries that do not open are erased and left out.
  virtual std::vector<StoredSession> Load() = 0;
};

}  // namespace cipe::engine
