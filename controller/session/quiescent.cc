#include "session/quiescent.h"

#include <algorithm>

namespace cipe::session {

QuiescentDomain::~QuiescentDomain() {
  for (Retired& r : retired_) r.free();
}

QuiescentDomain::Reader& QuiescentDomain::AddReader() {
  std::lock_guard lock(mutex_);
  readers_.push_back(std::make_unique<Reader>(*this));
  return *readers_.back();
}

void QuiescentDomain::Retire(std::function<void()> free) {
  std::lock_guard lock(mutex_);
  retired_.push_back({epoch_.fetch_add(1) + 1, std::move(free)});
}

size_t QuiescentDomain::Collect() {
  std::vector<std::function<void()>> ready;
  size_t waiting;
  {
    std::lock_guard lock(mutex_);
    uint64_t oldest = UINT64_MAX;
    for (const auto& reader : readers_) oldest = std::min(oldest, reader->seen_.load());
    while (!retired_.empty() && retired_.front().epoch <= oldest) {
      ready.push_back(std::move(retired_.front().free));
      retired_.pop_front();
    }
    waiting = retired_.size();
  }
  for (auto& free : ready) free();
  return waiting;
}

}  // namespace cipe::session
