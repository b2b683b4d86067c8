// When to look at which peer next: a binary heap by time that knows where each peer stands in it,
// so that peers nobody waits for cost nothing, however many there are. No allocation but the
// vector's own.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "engine/peer.h"

namespace cipe::engine {

class DueList {
 public:
  // Looks at the peer at `at` and not before, whatever was set.
  void Set(Peer& peer, Instant at) {
    if (peer.due_slot == Peer::kNotDue) {
      peer.due_slot = heap_.size();
      heap_.push_back({at, &peer});
    } else {
      heap_[peer.due_slot].at = at;
    }
    SiftDown(SiftUp(peer.due_slot));
  }
  // At `at` at the latest.
  void SetBy(Peer& peer, Instant at) {
    if (peer.due_slot == Peer::kNotDue || at < heap_[peer.due_slot].at) Set(peer, at);
  }
  void Remove(Peer& peer) {
    const size_t slot = std::exchange(peer.due_slot, Peer::kNotDue);
    if (slot == Peer::kNotDue) return;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (slot == heap_.size()) return;
    Place(slot, last);
    SiftDown(SiftUp(slot));
  }

  // The next peer that is due at `now`, taken out; null when there is none.
  Peer* Take(Instant now) {
    if (heap_.empty() || heap_.front().at > now) return nullptr;
    Peer* peer = heap_.front().peer;
    Remove(*peer);
    return peer;
  }
  bool empty() const { return heap_.empty(); }
  Instant next() const { return heap_.front().at; }  // not when empty
  size_t size() const { return heap_.size(); }

 private:
  struct Entry {
    Instant at;
    Peer* peer;
  };
  void Place(size_t slot, const Entry& entry) {
    heap_[slot] = entry;
    entry.peer->due_slot = slot;
  }
  size_t SiftUp(size_t slot) {
    const Entry entry = heap_[slot];
    while (slot > 0 && entry.at < heap_[(slot - 1) / 2].at) {
      Place(slot, heap_[(slot - 1) / 2]);
      slot = (slot - 1) / 2;
    }
    Place(slot, entry);
    return slot;
  }
  void SiftDown(size_t slot) {
    const Entry entry = heap_[slot];
    while (2 * slot + 1 < heap_.size()) {
      size_t child = 2 * slot + 1;
      if (child + 1 < heap_.size() && heap_[child + 1].at < heap_[child].at) ++child;
      if (!(heap_[child].at < entry.at)) break;
      Place(slot, heap_[child]);
      slot = child;
    }
    Place(slot, entry);
  }

  std::vector<Entry> heap_;
};

}  // namespace cipe::engine
