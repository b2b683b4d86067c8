#include "dataplane/xsk_queue.h"

#include "base/bytes.h"
#include "base/status_macros.h"
#include "packet/ip_view.h"
#include "packet/outer_header.h"

namespace cipe::dataplane {

using packet::IpView;
using session::Path;

XskQueue::XskQueue(UniqueFd socket, xsk::UmemRegion region, xsk::XskRings rings)
    : socket_(std::move(socket)), region_(std::move(region)), rings_(std::move(rings)) {}

absl::StatusOr<std::unique_ptr<XskQueue>> XskQueue::Create(UniqueFd socket, UniqueFd umem,
                                                           const xsk::UmemLayout& layout) {
  CIPE_ASSIGN_OR_RETURN(auto region, xsk::UmemRegion::Adopt(std::move(umem), layout));
  CIPE_ASSIGN_OR_RETURN(auto rings, xsk::XskRings::Map(socket.get(), xsk::RingSizes()));
  auto queue = std::unique_ptr<XskQueue>(
      new XskQueue(std::move(socket), std::move(region), std::move(rings)));
  const uint32_t half = layout.frame_count / 2;
  std::vector<uint64_t> receive;
  for (uint32_t i = 0; i < half; ++i) receive.push_back(uint64_t{i} * layout.frame_size);
  for (uint32_t i = half; i < layout.frame_count; ++i) {
    queue->free_.push_back(uint64_t{i} * layout.frame_size);
  }
  queue->paths_.reserve(RxPipeline::kMaxBatch);
  queue->Refill(receive);
  return queue;
}

void XskQueue::Refill(const std::vector<uint64_t>& frames) {
  uint32_t index;
  const uint32_t got = rings_.fill().Reserve(static_cast<uint32_t>(frames.size()), &index);
  for (uint32_t i = 0; i < got; ++i) rings_.fill().At(index + i) = frames[i];
  rings_.fill().Submit(got);
  // The ring holds every receive frame there is (checked by the layout), so nothing is left over.
  if (rings_.fill().NeedsWakeup()) rings_.KickRx();
}

// Ethernet, at most two tags, IP, UDP; the XDP program has checked whose frame it is.
bool XskQueue::Parse(uint8_t* packet, uint32_t size, RxFrame* frame, uint16_t* port) {
  uint32_t at = 12;
  for (int tags = 0; tags < 2 && at + 4 <= size; ++tags) {
    const uint16_t type = LoadBe16(packet + at);
    if (type != 0x8100 && type != 0x88a8) break;
    at += 4;
  }
  at += 2;
  IpView ip;
  if (at >= size || !packet::ParseIp(packet + at, size - at, &ip) || ip.fragment ||
      ip.protocol != IPPROTO_UDP || ip.l4_size() < packet::kUdpHeaderSize) {
    return false;
  }
  const uint8_t* udp = ip.l4();
  const uint32_t udp_size = LoadBe16(udp + 4);
  if (udp_size < packet::kUdpHeaderSize || udp_size > ip.l4_size()) return false;
  frame->data = packet + at + ip.l4_offset + packet::kUdpHeaderSize;
  frame->size = udp_size - packet::kUdpHeaderSize;
  frame->ecn = ip.traffic_class() & 3;
  *port = LoadBe16(udp + 2);
  Path path{{ip.source_address(), LoadBe16(udp), 0}, ip.destination_address()};
  if (paths_.empty() || !(paths_.back() == path)) paths_.push_back(path);
  frame->path = &paths_.back();
  return true;
}

bool XskQueue::Receive(Deliver deliver) {
  uint32_t index;
  const uint32_t got = rings_.rx().Peek(RxPipeline::kMaxBatch, &index);
  if (got == 0) return false;
  taken_.clear();
  paths_.clear();
  frames_.clear();
  uint16_t run_port = 0;
  for (uint32_t i = 0; i < got; ++i) {
    const xdp_desc& desc = rings_.rx().At(index + i);
    if (!region_.Holds(desc.addr, desc.len)) continue;  // cannot be; never follow it
    taken_.push_back(region_.FrameOf(desc.addr));
    RxFrame frame;
    uint16_t port;
    if (!Parse(region_.At(desc.addr), desc.len, &frame, &port)) continue;
    if (!frames_.empty() && port != run_port) {
      deliver(run_port, frames_);
      frames_.clear();
    }
    run_port = port;
    frames_.push_back(frame);
  }
  if (!frames_.empty()) deliver(run_port, frames_);
  rings_.rx().Release(got);
  Refill(taken_);
  return got == RxPipeline::kMaxBatch;
}

void XskQueue::Reap() {
  uint32_t index;
  const uint32_t got = rings_.completion().Peek(region_.layout().frame_count, &index);
  for (uint32_t i = 0; i < got; ++i) {
    const uint64_t address = rings_.completion().At(index + i);
    if (region_.Holds(address, 1)) free_.push_back(region_.FrameOf(address));
  }
  rings_.completion().Release(got);
}

uint8_t* XskQueue::TakeFrame() {
  if (free_.empty()) Reap();
  if (free_.empty() || rings_.tx().Free(1) == 0) return nullptr;
  current_ = free_.back();
  free_.pop_back();
  return region_.At(current_);
}

void XskQueue::Queue(uint32_t size) {
  uint32_t index;
  if (rings_.tx().Reserve(1, &index) == 0) {
    free_.push_back(current_);
    return;
  }
  rings_.tx().At(index) = {current_, size, 0};
  rings_.tx().Submit(1);
}

void XskQueue::Kick() {
  if (rings_.tx().NeedsWakeup()) rings_.KickTx();
  Reap();
}

}  // namespace cipe::dataplane
