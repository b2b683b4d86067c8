#include "broker/floor_table.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace cipe::broker {
namespace {

// Drops those with the smallest stamps of the entries without users, until `most` of them are left.
template <typename Map, typename StampOf>
void DropOldest(Map& map, size_t most, StampOf stamp_of) {
  if (map.size() <= most) return;
  std::vector<std::pair<Stamp, typename Map::key_type>> unused;
  for (const auto& [key, entry] : map) {
    if (entry.users == 0) unused.emplace_back(stamp_of(entry), key);
  }
  if (unused.size() <= most) return;
  std::sort(unused.begin(), unused.end());
  for (size_t i = 0; i + most < unused.size(); ++i) map.erase(unused[i].second);
}

}  // namespace

FloorTable::FloorTable(Floors on_disk, size_t max_unused) : max_unused_(max_unused) {
  // What was really sent is not known when the last daemon was killed: as much as was reserved.
  for (const auto& [own, stamp] : on_disk.sent) senders_[own] = {stamp, stamp, stamp, 0, 0};
  for (const auto& [who, stamp] : on_disk.received) receivers_[who].received = stamp;
  Trim();
}

void FloorTable::Use(const Identities& who) {
  const std::lock_guard lock(mutex_);
  Sender& sender = senders_[who.own];
  if (sender.users++ == 0) sender.use = ++uses_;
  ++receivers_[who].users;
}

void FloorTable::Release(const Identities& who) {
  const std::lock_guard lock(mutex_);
  Sender& sender = senders_[who.own];
  if (sender.users > 0 && --sender.users == 0) {
    sender.asked = sender.reserved = sender.sent;
    sender.use = 0;
  }
  Receiver& receiver = receivers_[who];
  if (receiver.users > 0) --receiver.users;
  Trim();
}

ipc::Floor FloorTable::Of(const Identities& who) const {
  const std::lock_guard lock(mutex_);
  ipc::Floor floor;
  if (const auto it = senders_.find(who.own); it != senders_.end()) {
    floor.sent = it->second.sent;
    floor.sent_reserved = it->second.reserved;
  }
  if (const auto it = receivers_.find(who); it != receivers_.end()) {
    floor.received = it->second.received;
  }
  return floor;
}

bool FloorTable::Update(const Identities& who, const ipc::Floor& floor, bool reserve) {
  const std::lock_guard lock(mutex_);
  Sender& sender = senders_[who.own];
  Receiver& receiver = receivers_[who];
  sender.sent = std::max(sender.sent, floor.sent);
  const bool more = reserve && floor.sent_reserved > sender.asked;
  if (more) sender.asked = floor.sent_reserved;
  // An honest engine sends nothing above its reservation; one that does is believed.
  const bool beyond = sender.sent > sender.asked;
  // Less than before after `cipectl forget-clock` only.
  const bool changed = std::exchange(receiver.received, floor.received) != floor.received;
  return more || beyond || changed;
}

void FloorTable::Reserved(const std::string& own, uint64_t use, const Stamp& stamp) {
  const std::lock_guard lock(mutex_);
  const auto it = senders_.find(own);
  if (it == senders_.end() || it->second.use != use) return;
  it->second.reserved = std::max(it->second.reserved, stamp);
}

uint64_t FloorTable::UseOf(const std::string& own) const {
  const std::lock_guard lock(mutex_);
  const auto it = senders_.find(own);
  return it == senders_.end() ? 0 : it->second.use;
}

Floors FloorTable::ForDisk() const {
  const std::lock_guard lock(mutex_);
  Floors floors;
  for (const auto& [own, sender] : senders_) {
    const Stamp stamp = std::max(sender.asked, sender.sent);
    if (stamp != Stamp{}) floors.sent[own] = stamp;
  }
  for (const auto& [who, receiver] : receivers_) {
    if (receiver.received != Stamp{}) floors.received[who] = receiver.received;
  }
  return floors;
}

void FloorTable::Trim() {
  DropOldest(senders_, max_unused_, [](const Sender& s) { return s.sent; });
  DropOldest(receivers_, max_unused_, [](const Receiver& r) { return r.received; });
}

}  // namespace cipe::broker
