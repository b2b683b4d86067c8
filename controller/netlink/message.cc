#include "netlink/message.h"

#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace cipe::netlink {

Message::Message(uint16_t type, uint16_t flags) {
  nlmsghdr* h = mnl_nlmsg_put_header(buffer_.data());
  h->nlmsg_type = type;
  h->nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
}

void Message::PutHeaderBytes(const void* data, size_t size) {
  if (header()->nlmsg_len + NLMSG_ALIGN(size) > kCapacity) {
    overflown_ = true;
    return;
  }
  std::memcpy(mnl_nlmsg_put_extra_header(header(), size), data, size);
}

void Message::Put(uint16_t type, absl::Span<const uint8_t> payload) {
  if (!mnl_attr_put_check(header(), kCapacity, type, payload.size(), payload.data())) {
    overflown_ = true;
  }
}

void Message::PutU8(uint16_t type, uint8_t value) { Put(type, {&value, 1}); }

void Message::PutU16(uint16_t type, uint16_t value) {
  if (!mnl_attr_put_u16_check(header(), kCapacity, type, value)) overflown_ = true;
}

void Message::PutU32(uint16_t type, uint32_t value) {
  if (!mnl_attr_put_u32_check(header(), kCapacity, type, value)) overflown_ = true;
}

void Message::PutString(uint16_t type, absl::string_view value) {
  const std::string s(value);
  if (!mnl_attr_put_strz_check(header(), kCapacity, type, s.c_str())) overflown_ = true;
}

void Message::PutAddress(uint16_t type, const IpAddress& address) {
  Put(type, absl::MakeConstSpan(address.octets.data(), address.size()));
}

size_t Message::NestStart(uint16_t type) {
  const size_t mark = header()->nlmsg_len;
  if (!mnl_attr_put_check(header(), kCapacity, type | NLA_F_NESTED, 0, nullptr)) overflown_ = true;
  return mark;
}

void Message::NestEnd(size_t mark) {
  if (overflown_) return;
  mnl_attr_nest_end(header(), reinterpret_cast<nlattr*>(buffer_.data() + mark));
}

Attributes::Attributes(absl::Span<const uint8_t> bytes, uint16_t max_type)
    : by_type_(max_type + 1u), present_(max_type + 1u) {
  while (bytes.size() >= sizeof(nlattr)) {
    nlattr attribute;
    std::memcpy(&attribute, bytes.data(), sizeof attribute);
    if (attribute.nla_len < sizeof(nlattr) || attribute.nla_len > bytes.size()) return;
    const uint16_t type = attribute.nla_type & NLA_TYPE_MASK;
    if (type <= max_type) {
      by_type_[type] = bytes.subspan(sizeof(nlattr), attribute.nla_len - sizeof(nlattr));
      present_[type] = true;
    }
    bytes.remove_prefix(std::min<size_t>(bytes.size(), NLA_ALIGN(attribute.nla_len)));
  }
}

bool Attributes::Has(uint16_t type) const { return type < present_.size() && present_[type]; }

absl::Span<const uint8_t> Attributes::Bytes(uint16_t type) const {
  return type < by_type_.size() ? by_type_[type] : absl::Span<const uint8_t>();
}

namespace {
template <typename T>
std::optional<T> Integer(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}
}  // namespace

std::optional<uint8_t> Attributes::U8(uint16_t type) const { return Integer<uint8_t>(Bytes(type)); }
std::optional<uint16_t> Attributes::U16(uint16_t type) const {
  return Integer<uint16_t>(Bytes(type));
}
std::optional<uint32_t> Attributes::U32(uint16_t type) const {
  return Integer<uint32_t>(Bytes(type));
}

std::string Attributes::String(uint16_t type) const {
  const absl::Span<const uint8_t> bytes = Bytes(type);
  return std::string(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
}

std::optional<IpAddress> Attributes::Address(uint16_t type) const {
  const absl::Span<const uint8_t> bytes = Bytes(type);
  if (bytes.size() == 4) return IpAddress::V4(bytes.data());
  if (bytes.size() == 16) return IpAddress::V6(bytes.data());
  return std::nullopt;
}

absl::Span<const uint8_t> Payload(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_HDRLEN) return {};
  return {reinterpret_cast<const uint8_t*>(&message) + NLMSG_HDRLEN,
          message.nlmsg_len - size_t{NLMSG_HDRLEN}};
}

uint8_t ToAf(Family family) {
  if (family == Family::kIpv4) return AF_INET;
  return family == Family::kIpv6 ? AF_INET6 : AF_UNSPEC;
}

}  // namespace cipe::netlink
