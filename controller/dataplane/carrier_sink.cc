#include "dataplane/carrier_sink.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "packet/virtio_header.h"

namespace cipe::dataplane {
namespace {

// Endpoints for which a next hop is kept; beyond them UDP serves.
constexpr size_t kMaxNextHops = 4096;

SendResult FromPort(ports::SendStatus status) {
  switch (status) {
    case ports::SendStatus::kSent:
      return SendResult::kSent;
    case ports::SendStatus::kWouldBlock:
    case ports::SendStatus::kNoBuffers:
      return SendResult::kNoBuffer;
    case ports::SendStatus::kTooBig:
      return SendResult::kTooBig;
    case ports::SendStatus::kUnreachable:
    case ports::SendStatus::kFailed:
      return SendResult::kError;
  }
  return SendResult::kError;
}

}  // namespace

CarrierSink::CarrierSink(int udp4, int udp6, bool afxdp, const ports::UdpPort::Options& options4,
                         const ports::UdpPort::Options& options6)
    : afxdp_(afxdp) {
  if (udp4 >= 0) udp4_ = std::make_unique<ports::UdpPort>(udp4, options4);
  if (udp6 >= 0) udp6_ = std::make_unique<ports::UdpPort>(udp6, options6);
}

size_t CarrierSink::MaxRun(Family family, size_t each) const {
  return ports::UdpPort::MaxRun(each, family);
}

SendResult CarrierSink::SendUdp(const session::Path& path, const packet::OuterFields& fields,
                                const uint8_t* data, size_t total, size_t each) {
  ports::UdpPort* port = path.remote.address.is_v4() ? udp4_.get() : udp6_.get();
  if (port == nullptr) return SendResult::kError;
  const IpAddress* local = path.local.is_set() ? &path.local : nullptr;
  ports::SendResult result = port->Send(path.remote, local, fields, data, total, each);
  const bool unusable = result.status == ports::SendStatus::kUnreachable || result.error == EINVAL;
  if (unusable && local != nullptr && result.sent == 0) {
    // The address we were reached at may be gone (EINVAL, where it is no address of this host any
    // more); the kernel picks one.
    result = port->Send(path.remote, nullptr, fields, data, total, each);
  }
  return FromPort(result.status);
}

CarrierSink::Prepared* CarrierSink::FindNextHop(const Endpoint& endpoint) {
  const auto it = hops_.find(endpoint);
  if (it != hops_.end()) return &it->second;
  if (wanted_ && asked_.size() < kMaxNextHops && asked_.emplace(endpoint, true).second) {
    wanted_(endpoint);
  }
  return nullptr;
}

size_t CarrierSink::Room(const Prepared& to) {
  return std::min(to.header.MaxPayload(to.hop.mtu), to.hop.queue->frame_size() - to.header.size());
}

SendResult CarrierSink::SendXsk(Prepared& to, const packet::OuterFields& fields,
                                const uint8_t* data, size_t total, size_t each) {
  XskQueue& queue = *to.hop.queue;
  SendResult result = SendResult::kSent;
  for (size_t at = 0; at < total; at += each) {
    const size_t size = std::min(each, total - at);
    uint8_t* frame = queue.TakeFrame();
    if (frame == nullptr) {
      queue.Kick();
      frame = queue.TakeFrame();
    }
    if (frame == nullptr) {
      result = SendResult::kNoBuffer;
      break;
    }
    std::memcpy(frame + to.header.size(), data + at, size);
    to.header.Write(frame, size, fields, fields.may_fragment ? next_id_++ : 0);
    queue.Queue(static_cast<uint32_t>(to.header.size() + size));
  }
  queue.Kick();
  return result;
}

SendResult CarrierSink::SendRun(const session::Path& path, const packet::OuterFields& fields,
                                const uint8_t* data, size_t total, size_t each) {
  // Routers fragment IPv4 where DF is clear; IPv6 only its sender does.
  const bool kernels = fields.may_fragment && path.remote.address.is_v6();
  if (afxdp_ && !kernels) {
    Prepared* to = FindNextHop(path.remote);
    // What does not fit the path has to be fragmented, which is the kernel's trade.
    if (to != nullptr && std::min(each, total) <= Room(*to)) {
      return SendXsk(*to, fields, data, total, each);
    }
  }
  return SendUdp(path, fields, data, total, each);
}

void CarrierSink::AnswerInside(absl::Span<const uint8_t> packet) {
  if (inside_ < 0) return;
  packet::VnetHeader header;
  iovec iov[2] = {{&header, sizeof header}, {const_cast<uint8_t*>(packet.data()), packet.size()}};
  [[maybe_unused]] const ssize_t n = writev(inside_, iov, 2);
}

void CarrierSink::SetNextHop(const Endpoint& endpoint, const NextHop& hop) {
  Prepared prepared{hop, {}};
  if (prepared.header.Prepare(hop.outer)) {
    hops_.insert_or_assign(endpoint, std::move(prepared));
  }
}

void CarrierSink::ForgetNextHop(const Endpoint& endpoint) { hops_.erase(endpoint); }

void CarrierSink::AskAgain(const Endpoint& endpoint) {
  if (wanted_ && hops_.contains(endpoint)) wanted_(endpoint);
}

void CarrierSink::ForgetQueue(const XskQueue* queue) {
  absl::erase_if(hops_, [&](const auto& entry) { return entry.second.hop.queue == queue; });
  asked_.clear();
}

}  // namespace cipe::dataplane
