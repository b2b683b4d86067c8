// What the senders of inner packets are told by ICMP, and how often. Belongs to one TX worker.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "dataplane/run_sink.h"
#include "packet/ip_view.h"

namespace cipe::dataplane {

class InsideAnswers {
 public:
  // Answers a worker gives: enough for every flow to learn of a path that shrank, and bounded.
  static constexpr double kPerSecond = 500, kBurst = 200;

  // Of what one read of the netdev gave, one answer is enough.
  void NewPacket() { told_ = false; }

  // Both are false when the sender was not and will not be told.
  // `mtu` octets would fit.
  bool TooBig(RunSink& sink, const packet::IpView& ip, uint32_t mtu, Instant now);
  // No peer has the destination, or the one who has it cannot be reached.
  bool Unreachable(RunSink& sink, const packet::IpView& ip, Instant now);

 private:
  template <typename Build>
  bool Answer(RunSink& sink, Instant now, const Build& build);
  bool TakeToken(Instant now);

  bool told_ = false;
  double tokens_ = kBurst;
  Instant filled_at_{};
};

}  // namespace cipe::dataplane
