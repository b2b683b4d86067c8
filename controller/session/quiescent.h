// Quiescent-state based reclamation: what a worker may still be looking at is freed only after
// every worker has said once that it holds nothing. (P. McKenney, "Is Parallel Programming Hard",
// ch. 9.)
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace cipe::session {

class QuiescentDomain {
 public:
  // One per worker thread; lives as long as the domain.
  class Reader {
   public:
    explicit Reader(QuiescentDomain& domain) : domain_(domain) {}
    // Holds no pointer obtained before.
    void Quiescent() { seen_.store(domain_.epoch_.load(), std::memory_order_seq_cst); }
    // About to block, holding no pointer; Quiescent() ends it.
    void Offline() { seen_.store(UINT64_MAX, std::memory_order_seq_cst); }

   private:
    friend class QuiescentDomain;
    QuiescentDomain& domain_;
    std::atomic<uint64_t> seen_{UINT64_MAX};
  };

  ~QuiescentDomain();

  Reader& AddReader();
  // Runs `free` some time after every reader has passed a quiescent point, on a thread that calls
  // Collect. The caller has already made the object unreachable.
  void Retire(std::function<void()> free);
  // Returns how many still wait.
  size_t Collect();

 private:
  struct Retired {
    uint64_t epoch;
    std::function<void()> free;
  };
  std::atomic<uint64_t> epoch_{1};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Reader>> readers_;
  std::deque<Retired> retired_;
};

}  // namespace cipe::session
