// rtnetlink messages (rtnetlink(7), netlink(7)): building in a fixed buffer, reading attributes
// with every length checked. No I/O.
#pragma once

#include <linux/netlink.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ip_address.h"

namespace cipe::netlink {

// A request under construction. An attribute that does not fit marks the message as overflown and
// Socket refuses to send it.
class Message {
 public:
  // `type` RTM_*, `flags` NLM_F_* (NLM_F_REQUEST is added).
  Message(uint16_t type, uint16_t flags);
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  // The fixed part that follows the header, e.g. ifinfomsg. Before any attribute.
  template <typename T>
  void PutHeader(const T& header) {
    PutHeaderBytes(&header, sizeof header);
  }
  void Put(uint16_t type, absl::Span<const uint8_t> payload);
  void PutU8(uint16_t type, uint8_t value);
  void PutU16(uint16_t type, uint16_t value);
  void PutU32(uint16_t type, uint32_t value);
  void PutString(uint16_t type, absl::string_view value);  // with its terminating zero
  void PutAddress(uint16_t type, const IpAddress& address);
  // Returns a mark for NestEnd.
  size_t NestStart(uint16_t type);
  void NestEnd(size_t mark);

  bool overflown() const { return overflown_; }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(buffer_.data()); }
  const nlmsghdr* header() const { return reinterpret_cast<const nlmsghdr*>(buffer_.data()); }
  absl::Span<const uint8_t> bytes() const { return {buffer_.data(), header()->nlmsg_len}; }

 private:
  static constexpr size_t kCapacity = 2048;
  void PutHeaderBytes(const void* data, size_t size);

  alignas(NLMSG_ALIGNTO) std::array<uint8_t, kCapacity> buffer_{};
  bool overflown_ = false;
};

// Attributes of one message or nest, by type. Points into the message. The last one of a type wins;
// types above `max_type` are skipped; a malformed tail is ignored.
class Attributes {
 public:
  Attributes(absl::Span<const uint8_t> bytes, uint16_t max_type);

  bool Has(uint16_t type) const;
  absl::Span<const uint8_t> Bytes(uint16_t type) const;  // empty when absent
  // Empty when absent or shorter than the integer.
  std::optional<uint8_t> U8(uint16_t type) const;
  std::optional<uint16_t> U16(uint16_t type) const;
  std::optional<uint32_t> U32(uint16_t type) const;
  std::string String(uint16_t type) const;  // up to the first zero
  // By length: 4 octets are IPv4, 16 are IPv6, everything else is no address.
  std::optional<IpAddress> Address(uint16_t type) const;
  Attributes Nested(uint16_t type, uint16_t max_type) const { return {Bytes(type), max_type}; }

 private:
  std::vector<absl::Span<const uint8_t>> by_type_;
  std::vector<bool> present_;
};

// The fixed part of a received message, or nullopt when it is too short; *attributes gets the rest.
template <typename T>
std::optional<T> SplitMessage(const nlmsghdr& message, absl::Span<const uint8_t>* attributes);

// For SplitMessage: payload of a message whose length was checked by the receiver.
absl::Span<const uint8_t> Payload(const nlmsghdr& message);

template <typename T>
std::optional<T> SplitMessage(const nlmsghdr& message, absl::Span<const uint8_t>* attributes) {
  const absl::Span<const uint8_t> payload = Payload(message);
  if (payload.size() < NLMSG_ALIGN(sizeof(T))) return std::nullopt;
  T fixed;
  __builtin_memcpy(&fixed, payload.data(), sizeof fixed);
  *attributes = payload.subspan(NLMSG_ALIGN(sizeof(T)));
  return fixed;
}

// AF_INET, AF_INET6 or AF_UNSPEC, and back.
uint8_t ToAf(Family family);

}  // namespace cipe::netlink
