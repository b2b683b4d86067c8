// Cuts inner packets that no frame to their peer can hold. Belongs to one TX worker.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "packet/fragmenter.h"
#include "packet/ip_view.h"
#include "packet/segmenter.h"

namespace cipe::dataplane {

class Oversize {
 public:
  // Cuts a packet to pieces of at most `mtu` octets that mean the same: IPv4 without DF to
  // fragments, TCP to shorter segments. False: it cannot be cut. Next gives the pieces then.
  bool Fragment(const packet::IpView& ip, uint32_t mtu);
  bool Resegment(const packet::IpView& ip, uint32_t mtu);
  // The next piece, valid until the next call; empty when there is none left.
  absl::Span<const uint8_t> Next();

 private:
  uint8_t* Buffer();

  packet::Fragmenter fragmenter_;
  packet::Segmenter segmenter_;
  bool segments_ = false;              // the pieces are the segmenter's
  std::unique_ptr<uint8_t[]> buffer_;  // packet::kMaxPacket octets, made when first needed
};

}  // namespace cipe::dataplane
