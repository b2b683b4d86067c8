#include "ports/tun_port.h"

#include <sys/uio.h>

#include <cerrno>

namespace cipe::ports {

int TunPort::Read(packet::VnetHeader* header, uint8_t* buffer, size_t capacity) {
  iovec iov[2] = {{header, sizeof *header}, {buffer, capacity}};
  ssize_t n;
  do {
    n = readv(fd_, iov, 2);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN ? 0 : -errno;
  constexpr auto kHeader = static_cast<ssize_t>(sizeof *header);
  return n > kHeader ? static_cast<int>(n - kHeader) : -EIO;
}

TunPort::WriteCounts TunPort::Write(absl::Span<const packet::PacketWrite> writes) {
  WriteCounts counts;
  for (const packet::PacketWrite& write : writes) {
    ssize_t n;
    do {
      n = writev(fd_, write.iov, static_cast<int>(write.iov_count));
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
      counts.written += write.packets;
    } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
      counts.full += write.packets;
    } else {
      counts.refused += write.packets;
      counts.last_error = errno;
    }
  }
  return counts;
}

}  // namespace cipe::ports
