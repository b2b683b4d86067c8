// The four rings of an AF_XDP socket, mapped from its descriptor: the unprivileged half (engine).
// Every ring has one user-space user; nothing here locks, allocates or calls the kernel except
// Kick*.
//
// Ordering (Linux Documentation/networking/af_xdp.rst and net/xdp/xsk_queue.h as facts): entries
// are written before the producer index is stored with release; the other side loads that index
// with acquire before it reads entries, and gives slots back by a release store of the consumer
// index. Indices run freely over 32 bits; an entry's slot is index & (size - 1).
#pragma once

#include <linux/if_xdp.h>

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "xsk/xsk_socket.h"

namespace cipe::xsk {

// One mmap of one ring; unmapped on destruction.
class RingMapping {
 public:
  RingMapping() = default;
  RingMapping(void* base, size_t length) : base_(base), length_(length) {}
  RingMapping(RingMapping&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), length_(std::exchange(other.length_, 0)) {}
  RingMapping& operator=(RingMapping&& other) noexcept;
  ~RingMapping();
  uint8_t* base() const { return static_cast<uint8_t*>(base_); }

 private:
  void* base_ = nullptr;
  size_t length_ = 0;
};

// Shared words of one ring, whichever side we are on.
template <typename T>
struct RingWords {
  uint32_t* producer = nullptr;
  uint32_t* consumer = nullptr;
  uint32_t* flags = nullptr;
  T* entries = nullptr;
  uint32_t size = 0;  // 0: this socket has no such ring
};

// We produce, the kernel consumes: fill (uint64_t) and TX (xdp_desc).
template <typename T>
class ProducerRing {
 public:
  ProducerRing() = default;
  explicit ProducerRing(const RingWords<T>& words) : words_(words) {
    if (words_.size == 0) return;
    next_ = std::atomic_ref(*words_.producer).load(std::memory_order_relaxed);
    consumer_ = std::atomic_ref(*words_.consumer).load(std::memory_order_acquire);
  }

  uint32_t size() const { return words_.size; }
  // Slots that can be reserved now, at most `wanted` (asks the kernel's index only when it must).
  uint32_t Free(uint32_t wanted) {
    uint32_t free = words_.size - (next_ - consumer_);
    if (free >= wanted || words_.size == 0) return free < wanted ? free : wanted;
    consumer_ = std::atomic_ref(*words_.consumer).load(std::memory_order_acquire);
    free = words_.size - (next_ - consumer_);
    if (free > words_.size) free = 0;  // an index from nowhere: never write past what we know
    return free < wanted ? free : wanted;
  }
  // Reserves up to `wanted` slots, returns how many; *index names the first for At().
  uint32_t Reserve(uint32_t wanted, uint32_t* index) {
    const uint32_t got = Free(wanted);
    *index = next_;
    next_ += got;
    return got;
  }
  // Gives the last `count` reserved, not yet submitted slots back.
  void Unreserve(uint32_t count) { next_ -= count; }
  T& At(uint32_t index) { return words_.entries[index & (words_.size - 1)]; }
  // Hands the next `count` reserved slots to the kernel, in the order of reservation.
  void Submit(uint32_t count) {
    std::atomic_ref producer(*words_.producer);
    producer.store(producer.load(std::memory_order_relaxed) + count, std::memory_order_release);
  }
  // Entries submitted and not yet consumed by the kernel.
  uint32_t Pending() const {
    if (words_.size == 0) return 0;
    return std::atomic_ref(*words_.producer).load(std::memory_order_relaxed) -
           std::atomic_ref(*words_.consumer).load(std::memory_order_acquire);
  }
  // True when the kernel sleeps on this ring and wants a Kick. Ask after Submit: the
  // read-modify-write keeps the load of the flag behind the store of the producer index, else both
  // sides could miss each other. (A fence would do too, but ThreadSanitizer does not know fences.)
  bool NeedsWakeup() const {
    if (words_.size == 0) return false;
    std::atomic_ref(*words_.producer).fetch_add(0, std::memory_order_seq_cst);
    return std::atomic_ref(*words_.flags).load(std::memory_order_seq_cst) & XDP_RING_NEED_WAKEUP;
  }

 private:
  RingWords<T> words_;
  uint32_t next_ = 0;      // first slot not reserved
  uint32_t consumer_ = 0;  // kernel's index as last seen
};

// The kernel produces, we consume: RX (xdp_desc) and completion (uint64_t).
template <typename T>
class ConsumerRing {
 public:
  ConsumerRing() = default;
  explicit ConsumerRing(const RingWords<T>& words) : words_(words) {
    if (words_.size == 0) return;
    next_ = std::atomic_ref(*words_.consumer).load(std::memory_order_relaxed);
    producer_ = next_;
  }

  uint32_t size() const { return words_.size; }
  // Up to `max` entries not yet peeked, returns how many; *index names the first for At().
  uint32_t Peek(uint32_t max, uint32_t* index) {
    *index = next_;
    if (words_.size == 0) return 0;
    uint32_t ready = producer_ - next_;
    if (ready < max) {
      producer_ = std::atomic_ref(*words_.producer).load(std::memory_order_acquire);
      ready = producer_ - next_;
      if (ready > words_.size) ready = 0;  // an index from nowhere: read nothing
    }
    if (ready > max) ready = max;
    next_ += ready;
    return ready;
  }
  const T& At(uint32_t index) const { return words_.entries[index & (words_.size - 1)]; }
  // Gives `count` peeked slots back to the kernel, oldest first; their entries are dead afterwards.
  void Release(uint32_t count) {
    std::atomic_ref consumer(*words_.consumer);
    consumer.store(consumer.load(std::memory_order_relaxed) + count, std::memory_order_release);
  }

 private:
  RingWords<T> words_;
  uint32_t next_ = 0;      // first entry not peeked
  uint32_t producer_ = 0;  // kernel's index as last seen
};

class XskRings {
 public:
  // Maps the rings of a socket that is not bound yet (of a bound one only newer kernels allow it).
  // `fd` is borrowed and must outlive this object; `sizes` are those it was made with (the kernel
  // does not tell them). InvalidArgument when `fd` is no AF_XDP socket or the sizes do not fit it;
  // FailedPrecondition when it is bound and this kernel minds.
  static absl::StatusOr<XskRings> Map(int fd, const RingSizes& sizes);

  XskRings(XskRings&&) = default;
  XskRings& operator=(XskRings&&) = default;

  int fd() const { return fd_; }
  ProducerRing<uint64_t>& fill() { return fill_; }
  ConsumerRing<uint64_t>& completion() { return completion_; }
  ConsumerRing<xdp_desc>& rx() { return rx_; }
  ProducerRing<xdp_desc>& tx() { return tx_; }

  // Makes the kernel look at the TX ring (sendto; copy mode sends only then). 0, or an errno that
  // is no passing state: EAGAIN, EBUSY and ENOBUFS mean "try again later" and give 0.
  int KickTx();
  // Makes the kernel look at the fill ring (recvfrom). 0 or errno as above.
  int KickRx();
  // XDP_STATISTICS of the socket, zeros for fields this kernel does not know.
  absl::StatusOr<xdp_statistics> Statistics() const;

 private:
  XskRings() = default;

  int fd_ = -1;
  RingMapping fill_map_, completion_map_, rx_map_, tx_map_;
  ProducerRing<uint64_t> fill_;
  ConsumerRing<uint64_t> completion_;
  ConsumerRing<xdp_desc> rx_;
  ProducerRing<xdp_desc> tx_;
};

}  // namespace cipe::xsk
