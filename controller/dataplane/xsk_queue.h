// One AF_XDP socket as the data path uses it. The lower half of its UMEM circulates between the
// fill ring and the receive ring, the upper half between the free list, the TX ring and the
// completion ring; receiving and sending belong to one worker each and share nothing but the
// descriptor.
#pragma once

#include <linux/if_xdp.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "dataplane/rx_pipeline.h"
#include "session/peer_path.h"
#include "xsk/umem.h"
#include "xsk/xsk_rings.h"

namespace cipe::dataplane {

class XskQueue {
 public:
  // `socket` is bound with the default ring sizes; `umem` is the memfd registered as its UMEM.
  static absl::StatusOr<std::unique_ptr<XskQueue>> Create(UniqueFd socket, UniqueFd umem,
                                                          const xsk::UmemLayout& layout);

  int fd() const { return socket_.get(); }

  // RX worker. Takes at most RxPipeline::kMaxBatch frames and hands them over in runs of one
  // destination port; frames that are no UDP in IP are left out. True when there may be more.
  using Deliver = absl::FunctionRef<void(uint16_t local_port, absl::Span<const RxFrame> frames)>;
  bool Receive(Deliver deliver);

  // TX worker. An empty frame of the UMEM, or null when all are under way.
  uint8_t* TakeFrame();
  size_t frame_size() const { return region_.layout().frame_size; }
  // Queues the frame last taken; Kick makes the kernel send what is queued.
  void Queue(uint32_t size);
  void Kick();

 private:
  XskQueue(UniqueFd socket, xsk::UmemRegion region, xsk::XskRings rings);
  void Refill(const std::vector<uint64_t>& frames);
  bool Parse(uint8_t* packet, uint32_t size, RxFrame* frame, uint16_t* port);
  void Reap();

  UniqueFd socket_;
  xsk::UmemRegion region_;
  xsk::XskRings rings_;
  std::vector<uint64_t> taken_;  // of the batch at hand, and what the fill ring had no room for
  std::vector<session::Path> paths_;  // of the batch at hand; few differ
  std::vector<RxFrame> frames_;
  std::vector<uint64_t> free_;  // TX half
  uint64_t current_ = 0;
};

}  // namespace cipe::dataplane
