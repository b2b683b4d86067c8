#include "tools/load/sender.h"

#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

namespace cipe::load {
namespace {

constexpr int kBatch = 64;
constexpr int64_t kTickNs = 100'000;  // sleeping between batches leaves the core to the tunnel
constexpr int kEndMarkers = 20;

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

void SleepUntil(int64_t deadline_ns) {
  timespec until{deadline_ns / 1'000'000'000, deadline_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

// kBatch datagrams that differ in their header, and in their size where several are wanted.
class Batch {
 public:
  explicit Batch(const SendOptions& options)
      : sizes_(options.sizes.begin(), options.sizes.end()),
        room_(*std::max_element(sizes_.begin(), sizes_.end())),
        buffers_(room_ * kBatch, 0x5a) {
    for (int i = 0; i < kBatch; ++i) {
      vectors_[i] = {buffers_.data() + room_ * i, room_};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  // Numbers `count` datagrams from `first` on and sends them; how many the kernel took, or -1.
  int Send(int fd, const Header& first, int count) {
    Header header = first;
    for (int i = 0; i < count; ++i, ++header.sequence) {
      std::memcpy(vectors_[i].iov_base, &header, sizeof header);
      vectors_[i].iov_len = sizes_[header.sequence % sizes_.size()];
    }
    return sendmmsg(fd, messages_.data(), count, 0);
  }

 private:
  std::vector<size_t> sizes_;
  size_t room_;  // octets of the largest
  std::vector<uint8_t> buffers_;
  std::array<iovec, kBatch> vectors_{};
  std::array<mmsghdr, kBatch> messages_{};
};

bool IsPassing(int error) {
  // ECONNREFUSED is an old ICMP error on the socket; the datagram at hand was not sent.
  return error == ENOBUFS || error == EAGAIN || error == EINTR || error == ECONNREFUSED;
}

void SendEndMarkers(int fd, const SendOptions& options, uint64_t total) {
  Batch batch(options);
  for (int i = 0; i < kEndMarkers; ++i) {
    SleepUntil(NowNs() + 10'000'000);
    batch.Send(fd, {kMagic, options.run, 0, total}, 1);
  }
}

}  // namespace

SendResult Send(const SendOptions& options) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  int fd = OpenSocket(options.to.family());
  if (connect(fd, options.to.get(), options.to.length) < 0) {
    int error = errno;
    close(fd);
    throw std::system_error(error, std::generic_category(), "connect");
  }
  Batch batch(options);
  SendResult result;
  const int64_t start = NowNs();
  const int64_t end = start + static_cast<int64_t>(options.seconds * 1e9);
  uint64_t sequence = 0;
  int64_t now = start;
  for (int64_t tick = start; now < end && sequence < kMaxPackets; now = NowNs()) {
    const auto due = static_cast<uint64_t>((now - start) / 1e9 * options.rate) + 1;
    while (sequence < due && NowNs() < end) {
      const int count = static_cast<int>(std::min<uint64_t>(kBatch, due - sequence));
      const int taken = batch.Send(fd, {kMagic, options.run, sequence, 0}, count);
      if (taken < 0 && !IsPassing(errno)) {
        int error = errno;
        close(fd);
        throw std::system_error(error, std::generic_category(), "sendmmsg");
      }
      result.sent += std::max(taken, 0);
      // A refused datagram keeps its number, so that the sink counts it as lost as well.
      result.refused += taken < 0 ? 1 : 0;
      sequence += taken < 0 ? 1 : taken;
    }
    tick = std::max(tick + kTickNs, now);
    SleepUntil(std::min(tick, end));
  }
  result.seconds = (NowNs() - start) / 1e9;
  SendEndMarkers(fd, options, sequence);
  close(fd);
  return result;
}

}  // namespace cipe::load
