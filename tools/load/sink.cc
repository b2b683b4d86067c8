#include "tools/load/sink.h"

#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <vector>

namespace cipe::load {
namespace {

constexpr int kBatch = 64;
constexpr auto kDrainTime = std::chrono::milliseconds(100);

// Counts one run; knows every number seen, in a bitmap of at most kMaxPackets bits.
class Counter {
 public:
  explicit Counter(uint32_t run) : run_(run) {}

  void Take(const uint8_t* data, size_t size) {
    Header header;
    if (size < sizeof header) {
      ++result_.foreign;
      return;
    }
    std::memcpy(&header, data, sizeof header);
    if (header.magic != kMagic || header.run != run_ || header.sequence >= kMaxPackets) {
      ++result_.foreign;
    } else if (header.total != 0) {
      result_.total = header.total;
    } else {
      TakeNumber(header.sequence);
    }
  }

  bool ended() const { return result_.total != 0; }

  SinkResult Finish() {
    const uint64_t expected = std::max(result_.total, next_);
    result_.lost = expected - result_.received;
    return result_;
  }

 private:
  void TakeNumber(uint64_t sequence) {
    if (sequence >= seen_.size()) seen_.resize(std::min(kMaxPackets, sequence * 2 + 4096));
    if (seen_[sequence]) {
      ++result_.duplicated;
      return;
    }
    seen_[sequence] = true;
    ++result_.received;
    if (sequence < next_) {
      ++result_.reordered;
    } else {
      next_ = sequence + 1;
    }
  }

  uint32_t run_;
  uint64_t next_ = 0;  // greatest number seen, plus one
  std::vector<bool> seen_;
  SinkResult result_;
};

// Everything the socket holds now.
void Drain(int fd, Counter& counter) {
  static std::array<std::array<uint8_t, sizeof(Header)>, kBatch> buffers;
  std::array<iovec, kBatch> vectors{};
  std::array<mmsghdr, kBatch> messages{};
  for (int i = 0; i < kBatch; ++i) {
    vectors[i] = {buffers[i].data(), buffers[i].size()};  // the rest of a datagram is cut off
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int count = 0;
  while ((count = recvmmsg(fd, messages.data(), kBatch, MSG_DONTWAIT, nullptr)) > 0) {
    for (int i = 0; i < count; ++i) counter.Take(buffers[i].data(), messages[i].msg_len);
    if (count < kBatch) return;
  }
}

}  // namespace

SinkResult Receive(const SinkOptions& options) {
  using Clock = std::chrono::steady_clock;
  int fd = OpenSocket(options.bind.family());
  if (bind(fd, options.bind.get(), options.bind.length) < 0) {
    int error = errno;
    close(fd);
    throw std::system_error(error, std::generic_category(), "bind");
  }
  std::puts("ready");
  std::fflush(stdout);
  Counter counter(options.run);
  auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double>(options.seconds));
  while (Clock::now() < deadline) {
    pollfd event{fd, POLLIN, 0};
    const bool had_ended = counter.ended();
    if (poll(&event, 1, 20) > 0) Drain(fd, counter);
    // What was overtaken by the end marker may still come for a moment.
    if (counter.ended() && !had_ended) deadline = std::min(deadline, Clock::now() + kDrainTime);
  }
  close(fd);
  return counter.Finish();
}

}  // namespace cipe::load
