// What happens to inner packets that no frame to their peer can hold: how often their senders are
// told, and room to cut them in. Belongs to one TX worker.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "dataplane/run_sink.h"
#include "packet/fragmenter.h"
#include "packet/ip_view.h"
#include "packet/segmenter.h"

namespace cipe::dataplane {

class Oversize {
 public:
  // Answers a worker gives: enough for every flow to learn of a path that shrank, and bounded.
  static constexpr double kPerSecond = 500, kBurst = 200;

  // Of what one read of the netdev gave, one answer is enough.
  void NewPacket() { told_ = false; }

  // Tells the sender by ICMP that `mtu` octets would fit. False: it was not and will not be told.
  bool Answer(RunSink& sink, const packet::IpView& ip, uint32_t mtu, Instant now);

  // Cuts a packet to pieces of at most `mtu` octets that mean the same: IPv4 without DF to
  // fragments, TCP to shorter segments. False: it cannot be cut. Next gives the pieces then.
  bool Fragment(const packet::IpView& ip, uint32_t mtu);
  bool Resegment(const packet::IpView& ip, uint32_t mtu);
  // The next piece, valid until the next call; empty when there is none left.
  absl::Span<const uint8_t> Next();

 private:
  bool TakeToken(Instant now);
  uint8_t* Buffer();

  bool told_ = false;
  double tokens_ = kBurst;
  Instant filled_at_{};
  packet::Fragmenter fragmenter_;
  packet::Segmenter segmenter_;
  bool segments_ = false;              // the pieces are the segmenter's
  std::unique_ptr<uint8_t[]> buffer_;  // packet::kMaxPacket octets, made when first needed
};

}  // namespace cipe::dataplane
