// Datagrams to and from one bound UDP socket of one family, many per system call: GRO and recvmmsg
// on receive, GSO or sendmmsg on send. Not thread-safe, but several ports may share one socket, so
// an RX worker and a TX worker each have their own.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "base/ip_address.h"
#include "base/unique_fd.h"
#include "packet/outer_fields.h"

namespace cipe::ports {

// What all datagrams of one kernel message have in common.
struct DatagramOrigin {
  Endpoint source;
  IpAddress local;       // address it was sent to; hint for answers
  uint32_t ifindex = 0;  // arrived on
  uint8_t ecn = 0;       // 0..3
};

// Octets inside the port's receive buffers, writable (frames are opened in place).
struct Datagram {
  uint8_t* data = nullptr;
  uint32_t size = 0;
  const DatagramOrigin* origin = nullptr;
};

enum class SendStatus : uint8_t {
  kSent,
  kWouldBlock,   // EAGAIN: socket buffer full; poll for EPOLLOUT or drop
  kNoBuffers,    // ENOBUFS, ENOMEM: the queue below is full; dropping is all there is
  kTooBig,       // EMSGSIZE: more than UDP can carry, or than the path where it must not split
  kUnreachable,  // no route or no usable source address now; the hint may be stale
  kFailed,       // anything else, see error
};

struct SendResult {
  SendStatus status = SendStatus::kSent;
  uint32_t sent = 0;  // datagrams that the kernel took; all of them when kSent
  int error = 0;      // errno
};

// What the network said about a datagram sent before (ICMP), or the kernel itself about its size.
// Nobody authenticated this: use it for messages and for probing, never to give a session up.
struct UdpError {
  Endpoint destination;
  int error = 0;       // errno: ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ...
  uint32_t mtu = 0;    // with EMSGSIZE: MTU of the path, IP header included; else 0
  bool local = false;  // from this kernel, not from an ICMP message
};

class UdpPort {
 public:
  struct Options {
    uint32_t receive_slots = 16;  // kernel messages per ReceiveBatch, 64 KB of buffer each
    bool gso = true;              // false: never try UDP_SEGMENT
    // Whether the socket lets datagrams be fragmented now; one for all ports of a socket, which
    // otherwise would not know of each other's changes. Null: it is left as the socket has it. Two
    // ports that disagree at the same moment may swap that of a datagram: accepted, it is rare, and
    // what it breaks (a size that was probed wrongly) is found out by the next probe.
    std::atomic<bool>* fragmenting = nullptr;
    // The caller finds the path's MTU himself: what may not be fragmented always has DF and goes
    // out whatever MTU the kernel has heard of, which anybody could have told it. Needs
    // `fragmenting`.
    bool own_path_mtu = false;
  };
  static constexpr size_t kMaxSegments = 64;  // UDP_MAX_SEGMENTS of Linux before 6.9
  static constexpr size_t kSlotSize = 65536;

  // `fd` from OpenUdpSockets; the family is asked of the kernel. Borrowed: must outlive the port.
  UdpPort(int fd, const Options& options);
  explicit UdpPort(int fd) : UdpPort(fd, Options()) {}
  UdpPort(UniqueFd fd, const Options& options);
  UdpPort(const UdpPort&) = delete;
  UdpPort& operator=(const UdpPort&) = delete;
  ~UdpPort();

  int fd() const { return fd_; }
  Family family() const { return family_; }

  // Takes what is there without waiting; empty when there is nothing. Views stay valid until the
  // next call. `*more` (may be null) says that the socket probably holds more. Buffers are
  // allocated by the first call.
  absl::Span<const Datagram> ReceiveBatch(bool* more = nullptr);

  // Datagrams of `size` octets that one Send may carry (at least 1).
  static size_t MaxRun(size_t size, Family family);

  // Sends `total` octets as datagrams of `gso_size` (the last may be shorter), at most
  // MaxRun(gso_size, family()) of them, to one endpoint of this port's family. `local` (may be
  // null) is the source address wished for. Falls back to sendmmsg when the kernel refuses GSO, and
  // remembers that. Datagrams above the path's MTU are fragmented where the socket's PathMtu or
  // `fields` lets them.
  SendResult Send(const Endpoint& to, const IpAddress* local, const packet::OuterFields& fields,
                  const uint8_t* data, size_t total, size_t gso_size);

  // Sets the socket to what `options` says, no fragments; without it the first difference does.
  void ResetFragmenting();

  // Is GSO in use? False once the kernel refused it (carrier without checksum offload, old kernel).
  bool gso() const { return gso_ && gso_pause_ == 0; }

  // Drains the error queue, at most `max` entries; `out` is replaced. poll(2) says EPOLLERR when
  // there are some.
  size_t TakeErrors(std::vector<UdpError>* out, size_t max = 64);

 private:
  struct Receive;

  int ReceiveMessages(bool* pending_error);
  void SplitSlot(uint32_t slot, uint32_t size);
  const DatagramOrigin* OriginOf(uint32_t slot, uint32_t* gro_size);
  void SetDestination(const Endpoint& to);
  size_t FillControl(uint8_t* control, const IpAddress* local,
                     const packet::OuterFields& fields) const;
  bool KnownTooBig(size_t size);
  void SetFragmenting(bool may_fragment);
  bool ApplyFragmenting(bool may_fragment);
  int SendGso(const msghdr& plain, size_t gso_size);
  SendResult SendEach(const msghdr& plain, size_t total, size_t size);

  UniqueFd owned_;
  int fd_ = -1;
  Family family_ = Family::kNone;
  Options options_;
  bool gso_ = true;
  uint32_t gso_pause_ = 0;  // runs to send without GSO before trying it again
  // The path that last refused GSO for the size of its segments, until so many more such runs.
  struct Narrow {
    Endpoint to;
    size_t size = 0;
    uint32_t runs = 0;
  };
  Narrow narrow_;
  Endpoint to_;  // what sockaddr_ was made from
  sockaddr_storage sockaddr_{};
  socklen_t sockaddr_size_ = 0;
  std::unique_ptr<Receive> receive_;
};

}  // namespace cipe::ports
