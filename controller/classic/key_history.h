// Which receiving keys a peer has offered before, so that a replayed NK_IND does not bring an old
// key back. Remembers hashes, the latest 4096 of them: a month of rekeying every ten minutes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/container/flat_hash_set.h"
#include "classic/cipher.h"

namespace cipe::classic {

class KeyHistory {
 public:
  static constexpr size_t kCapacity = 4096;
  bool Contains(const Key& key) const;
  void Add(const Key& key);

 private:
  absl::flat_hash_set<uint64_t> set_;
  std::deque<uint64_t> order_;
};

}  // namespace cipe::classic
