// Time stamp floors as the broker knows them: what goes to the disk, and what the next engine
// starts from. docs/protocol.md, section 4.5. No I/O and no clock.
//
// What was sent belongs to an identity of ours, what was received to the pair of identities;
// neither belongs to a tunnel, so renaming a tunnel or removing a peer for a while forgets nothing.
//
// While an identity is in use, the disk holds what its engine reserved. Once it is not, the disk
// holds what was really sent: reservations must not add up over many starts. Every method may be
// called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "broker/state_dir.h"
#include "ipc/messages.h"

namespace cipe::broker {

class FloorTable {
 public:
  // Of identities and pairs that are not in use the oldest are forgotten above this many.
  static constexpr size_t kMaxUnused = 65536;

  explicit FloorTable(Floors on_disk, size_t max_unused = kMaxUnused);

  // A tunnel with this peer comes up, goes down. Each Use has one Release, which must come after
  // the last frame of that tunnel.
  void Use(const Identities& who);
  void Release(const Identities& who);
  // What an engine may rely on.
  ipc::Floor Of(const Identities& who) const;

  // The engine's word. A greater reservation is only taken with `reserve`. True when the file must
  // be written.
  bool Update(const Identities& who, const ipc::Floor& floor, bool reserve);
  // A file with the reservation `stamp` was written. `use` as UseOf() was when it was asked for:
  // nothing happens when the identity was let go since.
  void Reserved(const std::string& own, uint64_t use, const Stamp& stamp);
  uint64_t UseOf(const std::string& own) const;

  Floors ForDisk() const;

 private:
  struct Sender {
    Stamp sent{};      // greatest that was sent, or may have been by who came before
    Stamp asked{};     // greatest reservation asked for
    Stamp reserved{};  // greatest one known to be on disk
    size_t users = 0;
    uint64_t use = 0;  // which one, counted over all identities
  };
  struct Receiver {
    Stamp received{};
    size_t users = 0;
  };
  void Trim();

  const size_t max_unused_;
  mutable std::mutex mutex_;
  std::map<std::string, Sender> senders_;
  std::map<Identities, Receiver> receivers_;
  uint64_t uses_ = 0;
};

}  // namespace cipe::broker
