#include "classic/key_history.h"

#include "base/bytes.h"
#include "crypto/hash.h"

namespace cipe::classic {
namespace {

uint64_t Digest(const Key& key) {
  return LoadLe64(Hash(Suite::kAesGcmSha256, key.UnsafeBytes()).data());
}

}  // namespace

bool KeyHistory::Contains(const Key& key) const { return set_.contains(Digest(key)); }

void KeyHistory::Add(const Key& key) {
  const uint64_t digest = Digest(key);
  if (!set_.insert(digest).second) return;
  order_.push_back(digest);
  if (order_.size() <= kCapacity) return;
  set_.erase(order_.front());
  order_.pop_front();
}

}  // namespace cipe::classic
