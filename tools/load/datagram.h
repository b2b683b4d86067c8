// What udp_load sends: a datagram that says which run it belongs to and which number it has in it.
// Sender and sink run on one machine, so the integers are in host order.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace cipe::load {

inline constexpr uint32_t kMagic = 0x45504943;  // "CIPE"
inline constexpr int kSocketBuffer = 1 << 20;   // octets, both directions
inline constexpr int kMinSize = 24;
inline constexpr int kMaxSize = 65000;
inline constexpr uint64_t kMaxPackets = uint64_t{1} << 27;  // bounds the sink's bitmap to 16 MB

// First octets of every datagram. `total` is 0 in numbered ones; the end marker, sent several times
// after the last of them, tells the sink how many there were.
struct Header {
  uint32_t magic;
  uint32_t run;
  uint64_t sequence;
  uint64_t total;
};
static_assert(sizeof(Header) == kMinSize);

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
};

// Throws std::invalid_argument when `text` is no numeric IPv4 or IPv6 address.
Address ParseAddress(const std::string& text, uint16_t port);

// A UDP socket with buffers of kSocketBuffer. Throws std::system_error; the caller closes it.
int OpenSocket(int family);

}  // namespace cipe::load
