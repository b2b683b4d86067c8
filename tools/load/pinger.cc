#include "tools/load/pinger.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

namespace cipe::load {
namespace {

constexpr int64_t kNever = -1;

int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

[[noreturn]] void Fail(const char* what, int fd) {
  const int error = errno;
  close(fd);
  throw std::system_error(error, std::generic_category(), what);
}

// What a socket says of an earlier datagram, or of a queue that is full; the next one may pass.
bool IsPassing(int error) {
  return error == ENOBUFS || error == EAGAIN || error == EINTR || error == ECONNREFUSED;
}

// True when there is something to read before `deadline_ns`. ppoll, since poll knows milliseconds.
bool WaitReadable(int fd, int64_t deadline_ns) {
  const int64_t left = std::max<int64_t>(deadline_ns - NowNs(), 0);
  const timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
  pollfd event{fd, POLLIN, 0};
  return ppoll(&event, 1, &timeout, nullptr) > 0;
}

struct Question {
  int64_t sent_ns = kNever;
  int64_t answered_ns = kNever;
};

// Takes the answers that are there; how many were first ones.
size_t TakeAnswers(int fd, std::vector<Question>& questions) {
  size_t first = 0;
  Header header;
  while (true) {
    const ssize_t size = recv(fd, &header, sizeof header, MSG_DONTWAIT);
    if (size < 0) return first;
    const int64_t now = NowNs();
    if (size < ssize_t{sizeof header} || header.magic != kMagic) continue;
    if (header.sequence >= questions.size()) continue;
    Question& question = questions[header.sequence];
    if (question.sent_ns == kNever || question.answered_ns != kNever) continue;
    question.answered_ns = now;
    ++first;
  }
}

}  // namespace

uint64_t Echo(const EchoOptions& options) {
  const int fd = OpenSocket(options.bind.family());
  if (bind(fd, options.bind.get(), options.bind.length) < 0) Fail("bind", fd);
  std::puts("ready");
  std::fflush(stdout);
  const int64_t end = NowNs() + static_cast<int64_t>(options.seconds * 1e9);
  std::array<uint8_t, 2048> buffer;
  uint64_t answered = 0;
  while (NowNs() < end) {
    if (!WaitReadable(fd, end)) continue;
    Address from;
    from.length = sizeof from.storage;
    const ssize_t size = recvfrom(fd, buffer.data(), buffer.size(), MSG_DONTWAIT,
                                  reinterpret_cast<sockaddr*>(&from.storage), &from.length);
    if (size < 0) continue;
    if (sendto(fd, buffer.data(), size_t(size), 0, from.get(), from.length) == size) ++answered;
  }
  close(fd);
  return answered;
}

PingResult Ping(const PingOptions& options) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  const int fd = OpenSocket(options.to.family());
  if (connect(fd, options.to.get(), options.to.length) < 0) Fail("connect", fd);
  const int64_t interval = options.interval_us * int64_t{1000};
  std::vector<Question> questions(
      std::max<size_t>(static_cast<size_t>(options.seconds * 1e9) / size_t(interval), 1));
  PingResult result;
  size_t answered = 0;
  int64_t due = NowNs();
  for (size_t number = 0; number < questions.size(); ++number, due += interval) {
    while (NowNs() < due) {
      if (WaitReadable(fd, due)) answered += TakeAnswers(fd, questions);
    }
    const Header header{kMagic, 0, number, 0};
    questions[number].sent_ns = NowNs();
    if (send(fd, &header, sizeof header, MSG_DONTWAIT) < 0) {
      if (!IsPassing(errno)) Fail("send", fd);
      questions[number].sent_ns = kNever;
      ++result.refused;
    }
    ++result.sent;
  }
  const int64_t end = NowNs() + kPatienceNs;
  while (answered + result.refused < result.sent && NowNs() < end) {
    if (WaitReadable(fd, end)) answered += TakeAnswers(fd, questions);
  }
  close(fd);
  for (const Question& question : questions) {
    const int64_t took = question.answered_ns - question.sent_ns;
    if (question.answered_ns != kNever && took <= kPatienceNs) {
      result.round_trips_ns.push_back(took);
    }
  }
  return result;
}

}  // namespace cipe::load
