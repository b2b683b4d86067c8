// Cuts what one read of the TUN gave (up to 64 KB of TCP or UDP GSO) into IP packets that can leave
// on their own, without copying: the headers of segment i+1 are written over the tail of segment i,
// which the caller has sealed into its transmit buffer by then.
//
//   Segmenter cutter;
//   if (!cutter.Start(header, packet, size)) drop(tx_bad_inner);
//   for (Segment s; cutter.Next(&s);) Seal(s.data, s.size, ...);   // must not keep s.data
//
// Every segment has right and complete checksums, for it may be forwarded far beyond the tunnel's
// end.
#pragma once

#include <cstddef>
#include <cstdint>

#include "packet/checksum.h"
#include "packet/ip_view.h"
#include "packet/virtio_header.h"

namespace cipe::packet {

// One whole IP packet, inside the buffer given to Start; valid until the next call of Next or
// Start.
struct Segment {
  uint8_t* data = nullptr;
  uint32_t size = 0;
};

class Segmenter {
 public:
  // Longest IP plus TCP or UDP header of a GSO packet (IPv6 extension headers included).
  static constexpr size_t kMaxHeaders = 256;

  // Takes one packet of `size` octets with the header that came with it. Handles no GSO (completes
  // a partial checksum), TCPV4, TCPV6 and UDP_L4. `packet` is written to and must live until Next
  // has returned false. False: malformed, or a GSO type that was never asked for; Next then gives
  // nothing.
  bool Start(const VnetHeader& header, uint8_t* packet, size_t size);

  // The next packet; false when there is none left. What the segment before held is overwritten.
  bool Next(Segment* out);

  // Segments that Next has yet to give.
  uint32_t remaining() const { return segments_ - next_; }
  // Of the packet given to Start, its own length; addresses are the same for all segments.
  const IpView& view() const { return view_; }

 private:
  bool StartSingle(const VnetHeader& header);
  bool StartGso(const VnetHeader& header);
  bool CheckGsoHeaders(const VnetHeader& header);
  void PutIpHeader(uint8_t* p, uint32_t size) const;
  void PutTcpHeader(uint8_t* l4) const;

  IpView view_;
  uint8_t* packet_ = nullptr;
  uint32_t segments_ = 0;
  uint32_t next_ = 0;
  uint32_t gso_size_ = 0;     // 0: a single packet that is already complete
  uint32_t header_size_ = 0;  // IP and L4
  bool tcp_ = false;
  uint8_t headers_[kMaxHeaders] = {};
};

}  // namespace cipe::packet
