#include "ports/udp_port.h"

#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace cipe::ports {
namespace {

constexpr size_t kControlSize = 256;

Family FamilyOf(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
  if (domain == AF_INET6) return Family::kIpv6;
  return domain == AF_INET ? Family::kIpv4 : Family::kNone;
}

template <typename T>
bool ReadCmsg(const cmsghdr* c, T* out) {
  if (c->cmsg_len < CMSG_LEN(sizeof(T))) return false;
  std::memcpy(out, CMSG_DATA(c), sizeof(T));
  return true;
}

bool Is(const cmsghdr* c, int level, int type) {
  return c->cmsg_level == level && c->cmsg_type == type;
}

}  // namespace

struct UdpPort::Receive {
  struct alignas(cmsghdr) Control {
    uint8_t octets[kControlSize];
  };

  explicit Receive(uint32_t slots)
      : buffers(new uint8_t[slots * kSlotSize]),
        messages(slots),
        iov(slots),
        names(slots),
        controls(slots),
        origins(slots) {
    for (uint32_t i = 0; i < slots; ++i) iov[i] = {buffers.get() + i * kSlotSize, kSlotSize};
    datagrams.reserve(slots * kMaxSegments);
  }

  void Prepare() {
    for (size_t i = 0; i < messages.size(); ++i) {
      msghdr& m = messages[i].msg_hdr;
      m.msg_name = &names[i];
      m.msg_namelen = sizeof names[i];
      m.msg_iov = &iov[i];
      m.msg_iovlen = 1;
      m.msg_control = controls[i].octets;
      m.msg_controllen = kControlSize;
      m.msg_flags = 0;
    }
    datagrams.clear();
  }

  std::unique_ptr<uint8_t[]> buffers;
  std::vector<mmsghdr> messages;
  std::vector<iovec> iov;
  std::vector<sockaddr_in6> names;  // room for either family
  std::vector<Control> controls;
  std::vector<DatagramOrigin> origins;
  std::vector<Datagram> datagrams;
  // The last address converted, as the kernel gave it: mostly the next one is the same.
  sockaddr_in6 raw{};
  socklen_t raw_size = 0;
  Endpoint source;
};

UdpPort::UdpPort(int fd, const Options& options)
    : fd_(fd), family_(FamilyOf(fd)), options_(options), gso_(options.gso) {}

UdpPort::UdpPort(UniqueFd fd, const Options& options) : UdpPort(fd.get(), options) {
  owned_ = std::move(fd);
}

UdpPort::~UdpPort() = default;

int UdpPort::ReceiveMessages(bool* pending_error) {
  // An ICMP error for some datagram sent before is reported once by whatever call comes next; the
  // error queue tells more about it, so go on.
  for (int attempt = 0; attempt < 8; ++attempt) {
    const int n = recvmmsg(fd_, receive_->messages.data(),
                           static_cast<unsigned>(receive_->messages.size()), MSG_DONTWAIT, nullptr);
    if (n >= 0) return n;
    if (errno == EAGAIN) return 0;
    *pending_error = true;
  }
  return 0;
}

absl::Span<const Datagram> UdpPort::ReceiveBatch(bool* more) {
  if (receive_ == nullptr) receive_ = std::make_unique<Receive>(options_.receive_slots);
  receive_->Prepare();
  bool pending_error = false;
  const int n = ReceiveMessages(&pending_error);
  for (int i = 0; i < n; ++i) {
    SplitSlot(static_cast<uint32_t>(i), receive_->messages[i].msg_len);
  }
  if (more != nullptr) *more = static_cast<size_t>(n) == receive_->messages.size();
  return receive_->datagrams;
}

const DatagramOrigin* UdpPort::OriginOf(uint32_t slot, uint32_t* gro_size) {
  Receive& r = *receive_;
  msghdr& m = r.messages[slot].msg_hdr;
  DatagramOrigin& origin = r.origins[slot];
  if (m.msg_namelen != r.raw_size || std::memcmp(&r.names[slot], &r.raw, r.raw_size) != 0) {
    sockaddr_storage sa{};
    r.raw_size = std::min<socklen_t>(m.msg_namelen, sizeof r.raw);
    std::memcpy(&r.raw, &r.names[slot], r.raw_size);
    std::memcpy(&sa, &r.raw, r.raw_size);
    r.source = Endpoint::FromSockaddr(sa);
  }
  origin.source = r.source;
  origin.local = IpAddress();
  origin.ifindex = 0;
  origin.ecn = 0;
  for (const cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr;
       c = CMSG_NXTHDR(&m, const_cast<cmsghdr*>(c))) {
    in_pktinfo v4;
    in6_pktinfo v6;
    int value;
    uint8_t tos;
    if (Is(c, IPPROTO_IP, IP_PKTINFO) && ReadCmsg(c, &v4)) {
      origin.local = IpAddress::V4(reinterpret_cast<const uint8_t*>(&v4.ipi_addr));
      origin.ifindex = static_cast<uint32_t>(v4.ipi_ifindex);
    } else if (Is(c, IPPROTO_IPV6, IPV6_PKTINFO) && ReadCmsg(c, &v6)) {
      origin.local = IpAddress::V6(v6.ipi6_addr.s6_addr);
      origin.ifindex = v6.ipi6_ifindex;
    } else if (Is(c, IPPROTO_IP, IP_TOS) && ReadCmsg(c, &tos)) {
      origin.ecn = tos & 3;
    } else if (Is(c, IPPROTO_IPV6, IPV6_TCLASS) && ReadCmsg(c, &value)) {
      origin.ecn = static_cast<uint8_t>(value & 3);
    } else if (Is(c, IPPROTO_UDP, UDP_GRO) && ReadCmsg(c, &value) && value > 0) {
      *gro_size = static_cast<uint32_t>(value);
    }
  }
  return &origin;
}

void UdpPort::SplitSlot(uint32_t slot, uint32_t size) {
  Receive& r = *receive_;
  uint32_t step = std::max<uint32_t>(size, 1);  // an empty datagram is one too
  const DatagramOrigin* origin = OriginOf(slot, &step);
  uint8_t* data = r.buffers.get() + slot * kSlotSize;
  uint32_t offset = 0;
  do {
    const uint32_t part = std::min(step, size - offset);
    r.datagrams.push_back(Datagram{data + offset, part, origin});
    offset += part;
  } while (offset < size);
}

namespace {

// One message of the error queue (ip(7), IP_RECVERR). False: nothing of interest in it.
bool ParseError(msghdr* m, const sockaddr_storage& name, UdpError* out) {
  for (cmsghdr* c = CMSG_FIRSTHDR(m); c != nullptr; c = CMSG_NXTHDR(m, c)) {
    if (!Is(c, IPPROTO_IP, IP_RECVERR) && !Is(c, IPPROTO_IPV6, IPV6_RECVERR)) continue;
    sock_extended_err e;
    if (!ReadCmsg(c, &e)) continue;
    const bool icmp = e.ee_origin == SO_EE_ORIGIN_ICMP || e.ee_origin == SO_EE_ORIGIN_ICMP6;
    if (!icmp && e.ee_origin != SO_EE_ORIGIN_LOCAL) continue;
    out->destination = Endpoint::FromSockaddr(name);
    out->error = static_cast<int>(e.ee_errno);
    out->mtu = e.ee_errno == EMSGSIZE ? e.ee_info : 0;
    out->local = !icmp;
    return true;
  }
  return false;
}

}  // namespace

size_t UdpPort::TakeErrors(std::vector<UdpError>* out, size_t max) {
  out->clear();
  for (size_t i = 0; i < max; ++i) {
    alignas(cmsghdr) uint8_t control[512];
    sockaddr_storage name{};
    msghdr m{};
    m.msg_name = &name;
    m.msg_namelen = sizeof name;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    if (recvmsg(fd_, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
    UdpError error;
    if (ParseError(&m, name, &error)) out->push_back(error);
  }
  return out->size();
}

}  // namespace cipe::ports
