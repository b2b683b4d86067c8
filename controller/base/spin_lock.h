// A lock for sections of at most a batch of packets, nearly always uncontended.
#pragma once

#include <atomic>
#include <thread>

namespace cipe {

class SpinLock {
 public:
  void lock() {
    int spins = 0;
    while (flag_.exchange(true, std::memory_order_acquire)) {
      // The holder may have been preempted on a machine with few cores.
      if (++spins % 64 == 0) std::this_thread::yield();
    }
  }
  void unlock() { flag_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> flag_{false};
};

}  // namespace cipe
