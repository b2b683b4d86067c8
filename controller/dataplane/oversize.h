// What happens to inner packets that no frame to their peer can hold: how often their senders are
// told, and room to cut them in. Belongs to one TX worker.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "dataplane/run_sink.h"
#include "packet/ip_view.h"

namespace cipe::dataplane {

class Oversize {
 public:
  // Answers a worker gives: enough for every flow to learn of a path that shrank, and bounded.
  static constexpr double kPerSecond = 500, kBurst = 200;

  // Of what one read of the netdev gave, one answer is enough.
  void NewPacket() { told_ = false; }

  // Tells the sender by ICMP that `mtu` octets would fit. False: it was not and will not be told.
  bool Answer(RunSink& sink, const packet::IpView& ip, uint32_t mtu, Instant now);

  // packet::kMaxPacket octets; the same at every call.
  uint8_t* PieceBuffer();

 private:
  bool TakeToken(Instant now);

  bool told_ = false;
  double tokens_ = kBurst;
  Instant filled_at_{};
  std::unique_ptr<uint8_t[]> pieces_;  // made when first needed
};

}  // namespace cipe::dataplane
