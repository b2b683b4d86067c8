// SessionStore in memory: what survives when a simulated engine is killed.
#pragma once

#include <map>
#include <vector>

#include "engine/session_store.h"

namespace cipe::sim {

class MemoryStore final : public engine::SessionStore {
 public:
  MemoryStore() : lanes_(CIPE_MAX_LANE_SLOTS) {}

  cipe_lane_state* lane_state() override { return lanes_.data(); }

  absl::Status Save(const session::Session& session, const Secret<32>& send,
                    const Secret<32>& receive) override {
    Entry& e = entries_[session.base()];
    e.setup = session.setup();
    e.peer = session.path().peer;
    e.tunnel = session.path().tunnel;
    e.send = send.Clone();
    e.receive = receive.Clone();
    return UpdateState(session);
  }

  absl::Status UpdateState(const session::Session& session) override {
    Entry& e = entries_[session.base()];
    e.slot = session.slot;
    e.confirmed = session.confirmed;
    return absl::OkStatus();
  }

  void Erase(uint32_t base) override { entries_.erase(base); }
  void SavePeer(uint32_t peer, const cipe_peer& value) override { peers_[peer] = value; }
  bool LoadPeer(uint32_t peer, cipe_peer* value) override {
    const auto it = peers_.find(peer);
    if (it == peers_.end()) return false;
    *value = it->second;
    return true;
  }
  void ErasePeer(uint32_t peer) override { peers_.erase(peer); }

  std::vector<engine::StoredSession> Load() override {
    std::vector<engine::StoredSession> out;
    for (const auto& [base, e] : entries_) {
      engine::StoredSession s;
      s.peer = e.peer;
      s.tunnel = e.tunnel;
      s.setup = e.setup;
      s.setup.path = nullptr;
      s.setup.lane_state = nullptr;
      s.slot = e.slot;
      s.confirmed = e.confirmed;
      s.send = e.send.Clone();
      s.receive = e.receive.Clone();
      out.push_back(std::move(s));
    }
    return out;
  }

  size_t sessions() const { return entries_.size(); }

 private:
  struct Entry {
    uint32_t peer = 0, tunnel = 0;
    session::SessionSetup setup;
    session::Slot slot{};
    bool confirmed = false;
    Secret<32> send, receive;
  };
  std::vector<cipe_lane_state> lanes_;
  std::map<uint32_t, Entry> entries_;
  std::map<uint32_t, cipe_peer> peers_;
};

}  // namespace cipe::sim
