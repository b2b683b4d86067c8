// The tunnel netdev as one RX worker writes to it.
#pragma once

#include "dataplane/rx_pipeline.h"
#include "ports/tun_port.h"

namespace cipe::dataplane {

class TunWriter final : public TunSink {
 public:
  // `tun` is borrowed.
  TunWriter(int tun, bool tso, bool uso)
      : port_(tun),
        coalescer_({.tso = tso, .uso = uso, .max_packets = 2 * RxPipeline::kMaxBatch}) {}

  Refused Write(absl::Span<const packet::PacketWrite> writes) override {
    const ports::TunPort::WriteCounts counts = port_.Write(writes);
    return {counts.full, counts.refused};
  }
  packet::Coalescer& coalescer() override { return coalescer_; }

 private:
  ports::TunPort port_;
  packet::Coalescer coalescer_;
};

}  // namespace cipe::dataplane
