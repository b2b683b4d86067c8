#include "dataplane/inside_answers.h"

#include <algorithm>

#include "packet/icmp_error.h"

namespace cipe::dataplane {

bool InsideAnswers::TakeToken(Instant now) {
  const double seconds = std::chrono::duration<double>(now - filled_at_).count();
  tokens_ = std::min(kBurst, tokens_ + seconds * kPerSecond);
  filled_at_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

template <typename Build>
bool InsideAnswers::Answer(RunSink& sink, Instant now, const Build& build) {
  if (told_) return true;
  packet::IcmpError answer;
  const size_t size = build(&answer);
  if (size == 0 || !TakeToken(now)) return false;
  sink.AnswerInside(absl::MakeConstSpan(answer).subspan(0, size));
  told_ = true;
  return true;
}

bool InsideAnswers::TooBig(RunSink& sink, const packet::IpView& ip, uint32_t mtu, Instant now) {
  return Answer(sink, now, [&](packet::IcmpError* out) { return BuildTooBig(ip, mtu, out); });
}

bool InsideAnswers::Unreachable(RunSink& sink, const packet::IpView& ip, Instant now) {
  return Answer(sink, now, [&](packet::IcmpError* out) { return BuildUnreachable(ip, out); });
}

}  // namespace cipe::dataplane
