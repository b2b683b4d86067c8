// Sending half of UdpPort.
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "ports/udp_port.h"

namespace cipe::ports {
namespace {

constexpr size_t kMaxUdp4 = 65507;  // 65535 less IPv4 and UDP headers
constexpr size_t kMaxUdp6 = 65487;  // GSO builds one IPv6 packet, its header within 65535 octets

// EINVAL is also what kernels before 6.14 say when a segment exceeds the MTU of this one path
// (udp_send_skb), so GSO gets another chance after that many runs. Later ones say EMSGSIZE, which
// has no other meaning; plain datagrams of that size are fragmented (PathMtu::kWant).
constexpr uint32_t kPauseRuns = 4096;
constexpr uint32_t kForGood = UINT32_MAX;

// A pending error of an earlier datagram (ICMP, see ip(7) on IP_RECVERR) is reported once, instead
// of sending: these are tried again, and mean it when they come back.
constexpr int kAttempts = 3;
bool MayBePending(int error) {
  switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
    case EINVAL:
    case EIO:
    case EOPNOTSUPP:
    case EBADF:
      return false;
    default:
      return true;
  }
}

SendStatus StatusOf(int error) {
  switch (error) {
    case 0:
      return SendStatus::kSent;
    case EAGAIN:
      return SendStatus::kWouldBlock;
    case ENOBUFS:
    case ENOMEM:
      return SendStatus::kNoBuffers;
    case EMSGSIZE:
      return SendStatus::kTooBig;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case ECONNREFUSED:
      return SendStatus::kUnreachable;
    default:
      return SendStatus::kFailed;
  }
}

template <typename T>
size_t PutCmsg(uint8_t* at, int level, int type, const T& value) {
  cmsghdr header{};
  header.cmsg_level = level;
  header.cmsg_type = type;
  header.cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(at, &header, sizeof header);
  std::memcpy(at + CMSG_LEN(0), &value, sizeof value);
  return CMSG_SPACE(sizeof value);
}

}  // namespace

size_t UdpPort::MaxRun(size_t size, Family family) {
  const size_t most = family == Family::kIpv6 ? kMaxUdp6 : kMaxUdp4;
  return std::clamp<size_t>(size == 0 ? 1 : most / size, 1, kMaxSegments);
}

void UdpPort::SetDestination(const Endpoint& to) {
  if (sockaddr_size_ != 0 && to == to_) return;
  sockaddr_size_ = to.ToSockaddr(&sockaddr_);
  to_ = to;
}

// Room for these must be there: PKTINFO, TOS or TCLASS, TTL, UDP_SEGMENT.
constexpr size_t kSendControl =
    CMSG_SPACE(sizeof(in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t));

// Only what differs from the socket's default: the kernel parses each of these for every message.
size_t UdpPort::FillControl(uint8_t* control, const IpAddress* local,
                            const packet::OuterFields& fields) const {
  size_t size = 0;
  const auto put = [&](int level, int type, int value) {
    if (value != 0) size += PutCmsg(control + size, level, type, value);
  };
  if (family_ == Family::kIpv6) {
    if (local != nullptr && local->is_v6()) {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, local->octets.data(), 16);
      if (local->is_link_local()) info.ipi6_ifindex = to_.scope_id;
      size += PutCmsg(control, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
    put(IPPROTO_IPV6, IPV6_TCLASS, fields.tos);
    put(IPPROTO_IPV6, IPV6_HOPLIMIT, fields.ttl);
    return size;
  }
  if (local != nullptr && local->is_v4()) {
    in_pktinfo info{};
    std::memcpy(&info.ipi_spec_dst, local->octets.data(), 4);
    size += PutCmsg(control, IPPROTO_IP, IP_PKTINFO, info);
  }
  put(IPPROTO_IP, IP_TOS, fields.tos);
  put(IPPROTO_IP, IP_TTL, fields.ttl);
  return size;
}

void UdpPort::SetFragmenting(bool may_fragment) {
  if (options_.fragmenting == nullptr ||
      options_.fragmenting->load(std::memory_order_relaxed) == may_fragment) {
    return;
  }
  if (ApplyFragmenting(may_fragment)) {
    options_.fragmenting->store(may_fragment, std::memory_order_relaxed);
  }
}

void UdpPort::ResetFragmenting() {
  if (options_.fragmenting == nullptr) return;
  if (ApplyFragmenting(false)) options_.fragmenting->store(false, std::memory_order_relaxed);
}

bool UdpPort::ApplyFragmenting(bool may_fragment) {
  const int rest = options_.own_path_mtu ? IP_PMTUDISC_PROBE : IP_PMTUDISC_WANT;
  if (family_ == Family::kIpv4) {
    const int value = may_fragment ? IP_PMTUDISC_DONT : rest;
    return setsockopt(fd_, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof value) == 0;
  }
  // Nobody on the way fragments IPv6. The kernel does what the MTU it has heard of asks for: it
  // goes by IPV6_MTU only where that is needed anyway (ip6_finish_output).
  const int value = may_fragment ? IPV6_PMTUDISC_WANT : rest;
  return setsockopt(fd_, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, sizeof value) == 0;
}

SendResult UdpPort::Send(const Endpoint& to, const IpAddress* local,
                         const packet::OuterFields& fields, const uint8_t* data, size_t total,
                         size_t gso_size) {
  const size_t datagrams = gso_size == 0 || total == 0 ? 1 : (total + gso_size - 1) / gso_size;
  if (to.address.family != family_ || datagrams > MaxRun(gso_size, family_)) {
    return SendResult{SendStatus::kFailed, 0, EINVAL};
  }
  SetDestination(to);
  SetFragmenting(fields.may_fragment);
  alignas(cmsghdr) uint8_t control[kSendControl] = {};
  iovec iov{const_cast<uint8_t*>(data), total};
  msghdr message{};
  message.msg_name = &sockaddr_;
  message.msg_namelen = sockaddr_size_;
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = FillControl(control, local, fields);
  if (datagrams == 1) return SendEach(message, total, total);
  if (gso_pause_ != 0 && gso_pause_ != kForGood) --gso_pause_;
  if (!gso() || KnownTooBig(gso_size)) return SendEach(message, total, gso_size);
  const int error = SendGso(message, gso_size);
  switch (error) {
    case 0:
      return SendResult{SendStatus::kSent, static_cast<uint32_t>(datagrams), 0};
    case EIO:         // carrier without checksum offload
    case EOPNOTSUPP:  // none in this kernel
    case ENOPROTOOPT:
      gso_pause_ = kForGood;
      break;
    case EINVAL:
      gso_pause_ = kPauseRuns;
      break;
    case EMSGSIZE:
      narrow_ = {to_, gso_size, kPauseRuns};
      break;
    default:
      return SendResult{StatusOf(error), 0, error};
  }
  return SendEach(message, total, gso_size);
}

// Asking the kernel costs a copy of the whole run each time.
bool UdpPort::KnownTooBig(size_t size) {
  if (narrow_.runs == 0 || size < narrow_.size || !(narrow_.to == to_)) return false;
  --narrow_.runs;
  return true;
}

int UdpPort::SendGso(const msghdr& plain, size_t gso_size) {
  msghdr message = plain;
  auto* control = static_cast<uint8_t*>(message.msg_control);
  const auto segment = static_cast<uint16_t>(gso_size);
  message.msg_controllen +=
      PutCmsg(control + plain.msg_controllen, IPPROTO_UDP, UDP_SEGMENT, segment);
  int error = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
    error = errno;
    if (!MayBePending(error)) break;
  }
  return error;
}

SendResult UdpPort::SendEach(const msghdr& plain, size_t total, size_t size) {
  std::array<mmsghdr, kMaxSegments> messages;
  std::array<iovec, kMaxSegments> iov;
  auto* data = static_cast<uint8_t*>(plain.msg_iov->iov_base);
  uint32_t count = 0;
  size_t offset = 0;
  do {
    const size_t part = std::min(size, total - offset);
    iov[count] = {data + offset, part};
    messages[count].msg_hdr = plain;
    messages[count].msg_hdr.msg_iov = &iov[count];
    messages[count].msg_len = 0;
    ++count;
    offset += part;
  } while (offset < total);
  uint32_t sent = 0;
  for (int attempt = 0; sent < count && attempt < kAttempts;) {
    const int n = sendmmsg(fd_, &messages[sent], count - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<uint32_t>(n);
      attempt = 0;
      continue;
    }
    const int error = errno;
    if (!MayBePending(error) || ++attempt == kAttempts) {
      return SendResult{StatusOf(error), sent, error};
    }
  }
  return SendResult{SendStatus::kSent, sent, 0};
}

}  // namespace cipe::ports
