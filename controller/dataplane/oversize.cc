#include "dataplane/oversize.h"

#include <algorithm>
#include <array>

#include "packet/too_big.h"

namespace cipe::dataplane {

bool Oversize::TakeToken(Instant now) {
  const double seconds = std::chrono::duration<double>(now - filled_at_).count();
  tokens_ = std::min(kBurst, tokens_ + seconds * kPerSecond);
  filled_at_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

bool Oversize::Answer(RunSink& sink, const packet::IpView& ip, uint32_t mtu, Instant now) {
  if (told_) return true;
  std::array<uint8_t, packet::kMaxTooBig> answer;
  const size_t size = packet::BuildTooBig(ip, mtu, &answer);
  if (size == 0 || !TakeToken(now)) return false;
  sink.AnswerInside(absl::MakeConstSpan(answer).subspan(0, size));
  told_ = true;
  return true;
}

uint8_t* Oversize::PieceBuffer() {
  if (pieces_ == nullptr) pieces_ = std::make_unique<uint8_t[]>(packet::kMaxPacket);
  return pieces_.get();
}

}  // namespace cipe::dataplane
